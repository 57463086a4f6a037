package cluster

import (
	"math"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// RegisterBroker decides that a broker begins a new life, or tells more about the one that
// it has when its incarnation is known. It answers the broker's epoch. A new life begins
// the next leader epoch of every partition that the broker leads: what was written but
// not synced before may be gone, and consumers must be able to notice (KIP-320).
//
// The broker's Epoch is not looked at.
func RegisterBroker(i *Image, broker Broker) ([]Record, int64, *Refusal) {
	for n, directory := range broker.Directories {
		if directory.Zero() {
			return nil, 0, refuse(kerr.InvalidRegistration, "Reserved directory ID in request")
		}
		if slices.Contains(broker.Directories[:n], directory) {
			return nil, 0, refuse(kerr.InvalidRegistration, "Duplicate directory ID in request")
		}
		for _, other := range i.Brokers() {
			if other.ID != broker.ID && slices.Contains(other.Directories, directory) {
				return nil, 0, refuse(kerr.InvalidRegistration, "Broker %d is already registered with directory %s", other.ID, directory)
			}
		}
	}
	broker.Host, broker.Rack = strings.ToValidUTF8(broker.Host, "\uFFFD"), strings.ToValidUTF8(broker.Rack, "\uFFFD")
	broker.Epoch = i.lastEpoch + 1
	if known := i.Broker(broker.ID); known != nil && known.Incarnation == broker.Incarnation {
		broker.Epoch = known.Epoch
	}
	return []Record{brokerRecord(&broker)}, broker.Epoch, nil
}

// ProducerIDBlock is how many producer ids a broker gets at a time.
const ProducerIDBlock = 1000

// AllocateProducerIDs decides that a broker gets the next block of producer ids, and
// answers the first of them.
func AllocateProducerIDs(i *Image, broker int32, epoch int64) ([]Record, int64, *Refusal) {
	known := i.Broker(broker)
	switch {
	case known == nil:
		return nil, 0, refuse(kerr.StaleBrokerEpoch, "No broker registration found for broker id %d", broker)
	case known.Epoch != epoch:
		return nil, 0, refuse(kerr.StaleBrokerEpoch, "Expected broker epoch %d, but got broker epoch %d", epoch, known.Epoch)
	case i.nextProducerID > math.MaxInt64-ProducerIDBlock:
		return nil, 0, refuse(kerr.UnknownServerError,
			"Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit")
	}
	first := i.nextProducerID
	return []Record{&ProducerIDsRecord{Broker: broker, BrokerEpoch: epoch, Next: first + ProducerIDBlock}}, first, nil
}
