package group

import (
	"bytes"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// protocol is one way of assigning that a member supports, most wanted first, with
// what the leader must know of the member to assign that way. It is opaque here.
type protocol struct {
	name     string
	metadata []byte
}

// member is one member of a group.
type member struct {
	id               string
	instance         *string // group.instance.id of a static member
	client           Client
	rebalanceTimeout int64 // milliseconds
	sessionTimeout   int64 // milliseconds
	protocols        []protocol
	assignment       []byte

	// join and sync answer the request that the member waits in; nil when it does not.
	join func(*kmsg.JoinGroupResponse)
	sync func(*kmsg.SyncGroupResponse)

	fresh    bool // has never completed a rebalance: it knows its id only once it has
	unsynced bool // has not sent SyncGroup since the last rebalance
	session  deadline
}

// supports reports whether the member knows a protocol, and its metadata for it.
func (m *member) supports(name string) ([]byte, bool) {
	for i := range m.protocols {
		if m.protocols[i].name == name {
			return m.protocols[i].metadata, true
		}
	}
	return nil, false
}

// matches reports whether a JoinGroup says nothing new: the same protocols in the same
// order with the same metadata.
func (m *member) matches(protocols []protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b protocol) bool {
		return a.name == b.name && bytes.Equal(a.metadata, b.metadata)
	})
}

// alive reports whether the end of the session may be ignored: a member that waits for
// us cannot send heartbeats. A new one is given up even so, since it may be a client
// that went away without our noticing.
func (m *member) alive() bool { return !m.fresh && (m.join != nil || m.sync != nil) }

// protocolsOf copies the protocols of a request; a name that comes twice counts once. There may be a million.
func protocolsOf(given []kmsg.JoinGroupRequestProtocol) []protocol {
	protocols := make([]protocol, 0, len(given))
	seen := make(map[string]bool, len(given))
	for i := range given {
		if name := given[i].Name; !seen[name] {
			seen[name] = true
			protocols = append(protocols, protocol{name, notNil(bytes.Clone(given[i].Metadata))})
		}
	}
	return protocols
}

func notNil(p []byte) []byte {
	if p == nil {
		return []byte{}
	}
	return p
}
