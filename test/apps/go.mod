module canarygate.local/apps

go 1.25.0
