"""Weights as files, ours and other people's, one question a file.

Which file is it: `known_models`, `locating`, `hub`. Which tensors does it hold: `tensors`; under
which names: `prefixes`, `layout`, and its tables `families` and `published_layout`. Which
configuration do they have: `config_json`, `manifest`, `sizes_from_tensors`. All of it at once:
`opening`. Into a module: `strict_loading`, `tokenizer`. How is it written: `saving`,
`published_saving`, `pretrained`, `card`. By which hash is a model known: `fingerprint`.
"""
