"""Pictures as SVG text: one definition for screen and print. Pure: no Django, no drawing library.

`data` turns a finding's JSON and the changes into frozen records; `signature`, `exposed` and `causal` draw them;
`lanes` and `labels` keep labels apart; `svg` and `wording` write elements and numbers.
"""
