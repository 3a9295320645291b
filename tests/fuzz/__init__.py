"""Hostile files against every reader: `python -m tests.fuzz --inputs 10000`.

`grammar` says what hostile values are, the modules `array_inputs`, `text_inputs`,
`torch_inputs` and `onnx_inputs` write files of them, and `readers` reads each as the
commands do. They draw from a `random.Random`, which whoever drives them brings: the
command seeds one for each input, Hypothesis shrinks one (`tests/test_fuzz.py`), and
atheris guides one by what the code does with it (`guided`).
"""
