"""Write a page about a drive: one HTML file with everything in it, for a browser, a phone or a printer.

Open `page.py` first. `charts.py` draws curves and the map as SVG, `facts.py` chooses what there is to say.
"""
