"""The rendered drive: a pinhole camera moves through a street made from a seed, and every pixel's class is known.

`render.render(seed, index, size)` is the one entry: picture and label map of one frame from nothing but its arguments.

    world.py      the road's curve, the light, the camera: where a point of the world falls on the picture
    canvas.py     twice-as-fine colour and label planes that are always painted together; textures
    scene.py      what stands where along one lap of the road
    ground.py     asphalt, markings, kerbs, pavement and the shadows baked onto them
    buildings.py  foliage.py  furniture.py  vehicles.py  people.py    things that stand on it
    render.py     sky and skyline, painter's order, and the camera's own faults (blur, glare, noise)
"""
