"""Where model files come from: Hugging Face, a URL, or this machine.

- `sources`: picks the source of a model reference.
- `huggingface`, `url`, `local_file`: one source each.
- `cache`: the directory of downloaded files, its locks and its disk errors.
- `progress`: how a download tells how far it is.
- `errors`: what can go wrong; each class is one issue of the contract.
"""
