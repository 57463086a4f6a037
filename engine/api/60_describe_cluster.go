package api

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
)

// node is where a broker is reached by those who came in by a certain listener.
type node struct {
	id   int32
	host string
	port int32
	rack *string
}

// nodes lists the brokers. This broker is shown as the listener advertises it.
func (s *Server) nodes(image *cluster.Image, l *Listener) (nodes []node) {
	for _, b := range image.Brokers() {
		n := node{id: b.ID, host: b.Host, port: b.Port}
		if b.ID == s.NodeID {
			n.host, n.port = l.advertised()
		}
		if b.Rack != "" {
			n.rack = kmsg.StringPtr(b.Rack)
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// Kinds of brokers that a client may ask for (KIP-919).
const (
	endpointBroker     = 1
	endpointController = 2
)

// DescribeCluster tells who is in the cluster (KIP-700).
//
//	v0 flexible · v1 endpoint type · v2 fenced brokers
//
// Differs from Kafka: controllers have no listener of their own to ask for.
func describeCluster(c *call, q *kmsg.DescribeClusterRequest, a *kmsg.DescribeClusterResponse) {
	image := c.server.Controller.Image()
	a.EndpointType = q.EndpointType
	if c.version == 0 {
		a.EndpointType = endpointBroker
	}
	switch a.EndpointType {
	case endpointBroker:
	case endpointController:
		a.ErrorCode = kerr.MismatchedEndpointType.Code
		a.ErrorMessage = kmsg.StringPtr("The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER")
	default:
		a.ErrorCode = kerr.UnsupportedEndpointType.Code
		a.ErrorMessage = kmsg.StringPtr("Unsupported endpoint type " + strconv.Itoa(int(a.EndpointType)))
	}
	if a.ErrorCode != 0 {
		a.EndpointType = endpointBroker // who answers, as in Kafka
		c.reply(a)
		return
	}
	a.ClusterID, a.ControllerID = image.ClusterID(), c.server.NodeID
	a.ClusterAuthorizedOperations = c.asker().clusterOperations(q.IncludeClusterAuthorizedOperations)
	for _, n := range c.server.nodes(image, c.listener) {
		b := kmsg.NewDescribeClusterResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = n.id, n.host, n.port, n.rack
		a.Brokers = append(a.Brokers, b)
	}
	c.reply(a)
}
