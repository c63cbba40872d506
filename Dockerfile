# The image of web, beat, worker and flower; compose.yaml says which one a container is.
FROM python:3.13.7-slim
WORKDIR /opt/levare
COPY . .
RUN pip install --no-cache-dir --editable '.[server]' --constraint constraints.txt \
    && python -m compileall -q app beat levare worker \
    && useradd --create-home --uid 1000 levare \
    && install --directory --owner=levare --mode=0700 /var/lib/levare
USER levare
VOLUME /var/lib/levare
CMD ["python", "-m", "app"]
