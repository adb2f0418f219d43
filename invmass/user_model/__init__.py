"""A user's NumPyro model: its inverse Fisher information, and whether NumPyro's warm-up finds it.

From the model to the answer:

- `loading` reads a model from a file. `numpyro_model` is a model with a point at which its Fisher
  information is taken; `numpyro_density` is its density in z, `numpyro_sites` its sites.
- `information` takes the Fisher information of the model from that of each observed distribution,
  which `distribution_information` knows.
- `metric_structure` says which entries of a metric are tuned, and `forecast` what regularisation
  will do to them. `warm_up` runs NumPyro's NUTS, `warm_up_runs` batches of replicates.
- `reference` is what tuned metrics are compared with. If that is the posterior's covariance,
  `posterior_covariance` finds it by long runs, of the model in `non_centred` form if it has one.
- `entries` judges each entry, and `adaptation` holds warm-ups, reference and entries together.
  `warm_start_saving` times what starting from the reference saves.
- `summary` and `records` put the answer into sentences, JSON and rows.
"""
