"""What happens on the events of training, a class in a file of its own for each: ``attach`` connects it to them."""
