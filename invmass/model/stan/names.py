"""The names of sites in a Stan program: their own, unless Stan reserves them.

Source: Stan Reference Manual, "Variables". Names of functions are included, because early releases
of Stan do not accept them as names of variables.
"""

_RESERVED = """
for in while repeat until if then else true false target struct typedef export auto extern var
static lower upper offset multiplier break continue return profile print reject fatal_error
functions data parameters model transformed generated quantities
void int real complex vector row_vector matrix array tuple ordered positive_ordered simplex
unit_vector sum_to_zero_vector cov_matrix corr_matrix cholesky_factor_cov cholesky_factor_corr
stochastic_matrix row_stochastic_matrix column_stochastic_matrix fvar
and bool case catch char class const default delete do double enum explicit float friend goto
inline long mutable namespace new not operator or private protected public register short signed
sizeof switch template this throw try typename union unsigned using virtual volatile xor
abs acos asin atan bernoulli beta binomial categorical cauchy ceil choose cols cos cosh cov
determinant diagonal digamma dims dirichlet distance e erf exp exponential floor frechet gamma
gumbel head inv inverse laplace lgamma log logistic logit lognormal max mean min multinomial
normal not_a_number pareto phi Phi pi poisson pow prod quantile rank rayleigh reverse round rows
sd segment sin singular_values size skew_normal softmax sort sqrt square std_normal step
student_t sum tail tan tanh tgamma trace trigamma trunc uniform variance von_mises weibull
wiener wishart
"""


def stan_name(name: str) -> str:
    """The name of a variable in Stan, with a trailing underscore if Stan reserves the name."""
    return f"{name}_" if name in _RESERVED.split() else name
