"""The calendar of model retirements: what comes with the product, what people add, and whom it concerns."""
