"""What people look at: the page with every item, the picture, the table to paste.

page.py      report.html, one file that needs no other and no network; page.css, page.js in it
picture.py   report.png
markdown.py  report.md
report.py    writes them
"""
