"""Jobs of producers: registering, taking up, reporting, stopping and ending them."""
