"""Drop a file of labelled digits into a folder, as somebody would who labels: `drop.py FOLDER [COUNT]`."""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 600
    images, labels = load_digits(return_X_y=True)
    rows = np.column_stack([labels, images])[:count].astype(int)
    draft = folder / ".digits.draft"  # hidden files are not watched, and a rename cannot be seen half-way
    np.savetxt(draft, rows, fmt="%d", delimiter=",")
    draft.rename(folder / f"digits-{count}.csv")


if __name__ == "__main__":
    main()
