"""A page in the browser that classifies photographs with what was trained.

    photos      from an upload to an image, within limits
    neighbours  the training photographs that an image is most like
    desk        what the page asks of a classifier, for each visitor
    markup      answers as HTML
    blocks      the page itself; it alone and `server` know Gradio
    server      from a page to an address on this computer

Plain PyTorch, `prompting/` and `classifier/`; Gradio is an extra (requirements-page.txt).
"""
