"""Pictures as SVG text: one definition for screen and print. Pure: no Django, no drawing library.

`data` turns a finding's JSON and the changes into frozen records; `signature`, `exposed`, `mix`, `graph`,
`clock_lines` and `calendar` draw them;
`lanes` and `markers` keep labels apart, `captions` are their words; `svg` and `wording` write elements and numbers.
"""
