package sdk

import (
	"context"
	"net/netip"
	"time"
)

// Principal is who somebody is to a broker: "User:alice". The type is User unless an
// authenticator knows others.
type Principal struct{ Type, Name string }

// Anonymous is everybody who came without proving who they are.
var Anonymous = Principal{"User", "ANONYMOUS"}

func (p Principal) String() string { return p.Type + ":" + p.Name }

// Peer is what a broker knows of a connection before it knows whose it is.
type Peer struct {
	Listener string // its name: SASL_PLAINTEXT, INTERNAL
	Host     netip.Addr
}

// Authenticator is one SASL mechanism of a broker (RFC 4422, KIP-43): it makes sure who is
// at the other end of a connection. Any goroutine may call it.
type Authenticator interface {
	// Mechanism is its name in sasl.enabled.mechanisms and on the wire: "PLAIN".
	Mechanism() string
	// Begin begins an exchange with one client. It must not block.
	Begin(peer Peer) Exchange
}

// Exchange is one client that proves who it is. The host calls it from one goroutine at a
// time, which is not an event loop: Step may ask other machines, until ctx ends.
type Exchange interface {
	// Step takes a message of the client and makes the next one of the server. Who is nil
	// until the exchange is complete. An error ends it: the reason of Deny is told to the
	// client, any other is logged and the client hears that its credentials are invalid.
	Step(ctx context.Context, message []byte) (answer []byte, who *Identity, err error)
}

// Identity is the end of an Exchange that succeeded.
type Identity struct {
	Principal Principal
	Until     time.Time // when it must be proved again (KIP-368); zero: connections.max.reauth.ms decides alone
}

// Denial is the error of an authenticator that tells the client why.
type Denial struct{ Reason string }

// Deny refuses a client. The reason reaches it; it must not help those who guess.
func Deny(reason string) error { return &Denial{reason} }

func (d *Denial) Error() string { return "denied: " + d.Reason }

// Requester is on whose behalf a request is made.
type Requester struct {
	Principal Principal
	Peer
}

// Operation is what somebody wants to do with a resource, by Kafka's codes.
type Operation int8

// The operations, as org.apache.kafka.common.acl.AclOperation numbers them.
const (
	OperationAny Operation = iota + 1 // of filters only
	OperationAll
	OperationRead
	OperationWrite
	OperationCreate
	OperationDelete
	OperationAlter
	OperationDescribe
	OperationClusterAction
	OperationDescribeConfigs
	OperationAlterConfigs
	OperationIdempotentWrite
	OperationCreateTokens
	OperationDescribeTokens
	OperationTwoPhaseCommit
)

// ResourceType is a kind of what is guarded, by Kafka's codes.
type ResourceType int8

// The types of resources, as org.apache.kafka.common.resource.ResourceType numbers them.
const (
	ResourceAny ResourceType = iota + 1 // of filters only
	ResourceTopic
	ResourceGroup
	ResourceCluster // its name is ClusterName
	ResourceTransactionalID
	ResourceDelegationToken
	ResourceUser
)

// ClusterName is the name of the one resource of type ResourceCluster.
const ClusterName = "kafka-cluster"

// Action is one thing that somebody wants to do.
type Action struct {
	Operation Operation
	Type      ResourceType
	Name      string // of the resource
}

// Authorizer decides who may do what. Event loops call it for every request: it must not
// block, and should not take memory. Any goroutine may call it.
type Authorizer interface {
	// Allowed reports whether who may do a.
	Allowed(who *Requester, a Action) bool
	// AllowedAny reports whether who may do the operation with any resource of the type: what
	// an idempotent producer is asked, which has named no topic yet (KIP-679).
	AllowedAny(who *Requester, op Operation, t ResourceType) bool
}
