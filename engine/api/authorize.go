package api

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/sdk"
)

// asker is on whose behalf a request is answered. The loop makes it; any goroutine may use
// it, also after the connection went on to other requests.
type asker struct {
	server *Server
	who    sdk.Requester
	key    int16
}

func (c *call) asker() *asker { return &asker{c.server, c.session.who, c.key} }

// allowed reports whether whoever sent the request may do op with a resource. That somebody
// may not is noted. It runs on the loop of the connection.
func (c *call) allowed(op sdk.Operation, t sdk.ResourceType, name string) bool {
	return c.server.Authorizer == nil || c.server.allows(&c.session.who, c.key, sdk.Action{Operation: op, Type: t, Name: name})
}

// sees is allowed for questions to which No is no denial: somebody is shown less, or asked
// for something else.
func (c *call) sees(op sdk.Operation, t sdk.ResourceType, name string) bool {
	return c.server.Authorizer == nil || c.server.Authorizer.Allowed(&c.session.who, sdk.Action{Operation: op, Type: t, Name: name})
}

// onCluster is allowed for the cluster itself.
func (c *call) onCluster(op sdk.Operation) bool {
	return c.allowed(op, sdk.ResourceCluster, sdk.ClusterName)
}

// allowed is that of a call, from any goroutine.
func (a *asker) allowed(op sdk.Operation, t sdk.ResourceType, name string) bool {
	return a.server.Authorizer == nil || a.server.allows(&a.who, a.key, sdk.Action{Operation: op, Type: t, Name: name})
}

// sees is that of a call, from any goroutine.
func (a *asker) sees(op sdk.Operation, t sdk.ResourceType, name string) bool {
	return a.server.Authorizer == nil || a.server.Authorizer.Allowed(&a.who, sdk.Action{Operation: op, Type: t, Name: name})
}

func (s *Server) allows(who *sdk.Requester, key int16, action sdk.Action) bool {
	if s.Authorizer.Allowed(who, action) {
		return true
	}
	s.denied(who, key, action)
	return false
}

// sparing bounds how often something is logged that strangers bring about, and do again and again.
type sparing struct {
	second atomic.Int64 // that is counted in
	logged atomic.Int64 // in that second
	silent atomic.Int64 // not logged since the last that was
}

// linesPerSecond is how much is logged in a second.
const linesPerSecond = 10

// admit reports whether there is room for a line now, and how many there was none for before it.
func (l *sparing) admit(now time.Time) (silent int64, ok bool) {
	if second := now.Unix(); l.second.Swap(second) != second {
		l.logged.Store(0)
	}
	if l.logged.Add(1) > linesPerSecond {
		l.silent.Add(1)
		return 0, false
	}
	return l.silent.Swap(0), true
}

// logStranger logs, sparingly, what ended a connection: whoever can open one can have it end so, thousands of times a second.
func (s *Server) logStranger(level slog.Level, message string, values ...any) {
	if silent, ok := s.strangers.admit(s.Now()); ok {
		s.Log.Log(context.Background(), level, message, append(values, "notLogged", silent)...)
	}
}

func (s *Server) denied(who *sdk.Requester, key int16, action sdk.Action) {
	s.Metrics.Denials.Add(1)
	silent, ok := s.denials.admit(s.Now())
	if !ok {
		return
	}
	resource := action.Type.String() + ":" + action.Name
	if action.Name == "" {
		resource = action.Type.String()
	}
	s.Log.Warn("denied", "principal", who.Principal.String(), "host", who.Host.String(), "operation", action.Operation.String(),
		"resource", resource, "api", s.table[key].name, "notLogged", silent)
}

// Denials in Kafka's words, where answers have room for some.
var (
	topicDenied       = &cluster.Refusal{Code: kerr.TopicAuthorizationFailed, Message: "Topic authorization failed."}
	groupDenied       = &cluster.Refusal{Code: kerr.GroupAuthorizationFailed, Message: "Group authorization failed."}
	clusterDenied     = &cluster.Refusal{Code: kerr.ClusterAuthorizationFailed, Message: "Cluster authorization failed."}
	transactionDenied = &cluster.Refusal{Code: kerr.TransactionalIDAuthorizationFailed, Message: "Transactional Id authorization failed."}
)

// deniedConfigs is why whoever asks may not do op with the settings of a resource.
func (c *call) deniedConfigs(op sdk.Operation, kind kmsg.ConfigResourceType, name string) *cluster.Refusal {
	switch {
	case kind == kmsg.ConfigResourceTypeTopic && !c.allowed(op, sdk.ResourceTopic, name):
		return topicDenied
	case kind == kmsg.ConfigResourceTypeGroupConfig && !c.allowed(op, sdk.ResourceGroup, name):
		return groupDenied
	case kind != kmsg.ConfigResourceTypeTopic && kind != kmsg.ConfigResourceTypeGroupConfig && !c.onCluster(op):
		return clusterDenied
	}
	return nil
}

// What resources of a type have operations for (KIP-430): a bit for each.
const (
	topicOperations   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	groupOperations   = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11
	clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
)

// notAsked is the bitmap for those who did not ask for one.
const notAsked = -1 << 31

// operations is the bitmap of what somebody may do with a topic or a group, if it was asked for.
func (a *asker) operations(asked bool, t sdk.ResourceType, name string) int32 {
	switch {
	case !asked:
		return notAsked
	case t == sdk.ResourceTopic:
		return a.among(topicOperations, t, name)
	default:
		return a.among(groupOperations, t, name)
	}
}

// clusterOperations is the bitmap of what somebody may do with the cluster, if it was asked
// for: nothing for those who may not even describe it.
func (a *asker) clusterOperations(asked bool) int32 {
	switch {
	case !asked:
		return notAsked
	case !a.allowed(sdk.OperationDescribe, sdk.ResourceCluster, sdk.ClusterName):
		return 0
	}
	return a.among(clusterOperations, sdk.ResourceCluster, sdk.ClusterName)
}

// among leaves the operations that are allowed.
func (a *asker) among(bitmap int32, t sdk.ResourceType, name string) int32 {
	if a.server.Authorizer == nil {
		return bitmap
	}
	for op := sdk.OperationRead; op <= sdk.OperationIdempotentWrite; op++ {
		if bitmap&(1<<op) != 0 && !a.sees(op, t, name) {
			bitmap &^= 1 << op
		}
	}
	return bitmap
}

// writesAny reports whether whoever sent the request has a topic to write to.
func (c *call) writesAny() bool {
	s, who := c.server, &c.session.who
	if s.Authorizer == nil || s.Authorizer.AllowedAny(who, sdk.OperationWrite, sdk.ResourceTopic) {
		return true
	}
	s.denied(who, c.key, sdk.Action{Operation: sdk.OperationWrite, Type: sdk.ResourceTopic})
	return false
}
