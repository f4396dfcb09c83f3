"""Label maps made visible: class colours, views, burnt-in figures. No torch, no Qt."""
