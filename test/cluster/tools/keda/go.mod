// Only KEDA's definitions are taken from its module: nothing is built.
module canarygate.local/cluster/keda

go 1.25.0

require github.com/kedacore/keda/v2 v2.20.2
