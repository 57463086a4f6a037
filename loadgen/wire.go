package loadgen

// clientID is what the load generator calls itself to the broker.
const clientID = "millrace-bench"

// produceTimeoutMS is how long a broker may wait for the other replicas.
const produceTimeoutMS = 30000
