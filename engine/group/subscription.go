package group

import (
	"encoding/binary"
	"errors"
)

var errSubscription = errors.New("consumer subscription is malformed")

// subscriptionTopics calls f with every topic in the metadata of a member of type
// "consumer": a version, then the topics, then what later versions added.
//
//	0  version int16
//	2  topics  int32, then each: length int16, name
//
// Ownership: a topic is a view of p.
func subscriptionTopics(p []byte, f func(topic []byte)) error {
	if len(p) < 6 || int16(binary.BigEndian.Uint16(p)) < 0 {
		return errSubscription
	}
	topics := int32(binary.BigEndian.Uint32(p[2:]))
	for p = p[6:]; topics > 0; topics-- {
		if len(p) < 2 {
			return errSubscription
		}
		length := int(int16(binary.BigEndian.Uint16(p)))
		if length < 0 || length > len(p)-2 {
			return errSubscription
		}
		f(p[2 : 2+length])
		p = p[2+length:]
	}
	if topics < 0 {
		return errSubscription
	}
	return nil
}

// subscriptions returns the topics that the members of a consumer group subscribe to, or
// nil when that cannot be told: for other protocol types, or odd metadata.
func (g *group) subscriptions() map[string]struct{} {
	if g.protocolType != consumerType || len(g.members) > 0 && g.protocol == nil {
		return nil
	}
	topics := map[string]struct{}{}
	for _, m := range g.members {
		metadata, _ := m.supports(*g.protocol)
		err := subscriptionTopics(metadata, func(topic []byte) {
			if _, ok := topics[string(topic)]; !ok {
				topics[string(topic)] = struct{}{}
			}
		})
		if err != nil {
			return nil
		}
	}
	return topics
}

// subscribes reports whether the offsets of a topic are in use. When nobody can tell, a
// consumer group uses them all.
func (g *group) subscribes(topic string) bool {
	if g.consumer != nil {
		return g.consumer.subscribes(topic)
	}
	if g.subscribed == nil {
		return g.protocolType == consumerType
	}
	_, ok := g.subscribed[topic]
	return ok
}
