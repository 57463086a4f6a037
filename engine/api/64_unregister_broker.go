package api

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// UnregisterBroker takes a broker that will not come back out of the cluster (KIP-746).
// Here the only one is the one that is asked.
//
//	v0 flexible
//
// Differs from Kafka: it takes out a broker that runs, too, its last one even, which then
// has a cluster without brokers until it is started again. Here that is refused.
func unregisterBroker(c *call, q *kmsg.UnregisterBrokerRequest, a *kmsg.UnregisterBrokerResponse) {
	id := strconv.Itoa(int(q.BrokerID))
	switch {
	case !c.onCluster(sdk.OperationAlter):
		a.ErrorCode, a.ErrorMessage = clusterDenied.Wire()
	case c.server.Controller.Image().Broker(q.BrokerID) == nil:
		a.ErrorCode, a.ErrorMessage = kerr.BrokerIDNotRegistered.Code, told("Broker ID "+id+" is not currently registered")
	default:
		a.ErrorCode, a.ErrorMessage = kerr.InvalidRequest.Code,
			told("Broker "+id+" runs, and is the only one: without it nobody would lead its partitions. To take it down, stop it.")
	}
	c.reply(a)
}
