"""The plain textbook ways that the product is measured against."""
