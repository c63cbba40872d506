"""What is declared: the models of its documents, and the file that holds them."""
