"""
The dashboard: pages that are whole without JavaScript, and live with it.

A page is a path, a function that loads what it shows, and a template; `pages.PAGES` lists them. In its template
whatever may change is a *part*: an element with a key, in a list. `live` renders the page again while somebody looks
at it, and sends the parts that have changed.
"""
