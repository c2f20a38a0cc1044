"""The product from top to bottom. Read these modules in this order and you have read what it does.

1. `import_evidence`: a pasted link or a file becomes evidence. First the trace itself, to be read at once,
   then the window around it: traces of the same name and environment from baseline to incident
   (`traces.links` takes the link apart, `traces.sources` says what every server can be asked, `traces.services`
   stores the bytes).
2. `import_changes`: what changed, from four logs: model, prompt, retrieval, infrastructure
   (`changes.log_files` reads files, `changes.prompts` prompt versions, `changes.services` stores each once).
   `pull_feeds`: the same by itself, on a schedule, from GitHub, GitLab, MLflow's registry and Langfuse.
3. The join needs no run, it is read: `changes.exposure` says which trace ran on which change,
   `changes.reconcile` what was logged and never observed, observed and never logged.
4. `attribute`: which change explains what got worse, and which layers are ruled in or out
   (`attribution.interface`). A finding proposes; people decide.
5. People review: questions, evidence for and against, four verdicts, contributing factors (`review.services`),
   and act: items with one owner, a due date and a way to verify them (`actions.services`).
6. `publish`: the gate (`report.gate`) says what is still missing; when nothing is, the record is frozen,
   hashed and rendered (`report.services`, `report.record`, `report.documents`).

7. Afterwards: `remind` tells owners and facilitators until items are verified (`actions.reminding`), a verified item
   leaves a regression case (`actions.regression`), and closed incidents are watched (`insights.watching`).

Steps 1, 2 and 4 may take minutes, so `services` puts them into a queue of rows and the command `work` takes
them out (`background`). Each stage saves where it is through `progress`, and another worker goes on from
there when one dies.
"""
