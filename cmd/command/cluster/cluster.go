// Package cluster tells what a cluster is made of: its id, its brokers, and the
// versions of each API that they speak.
package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ID prints the cluster's id.
func ID(ctx context.Context, s *session.Session) error {
	metadata, err := s.Admin.BrokerMetadata(ctx)
	if err != nil {
		return fmt.Errorf("describe the cluster: %w", err)
	}
	if metadata.Cluster == "" {
		fmt.Fprintln(s.Out, "No cluster ID found. The Kafka version is probably too old.")
		return nil
	}
	fmt.Fprintln(s.Out, "Cluster ID: "+metadata.Cluster)
	return nil
}

// Describe prints the cluster's id, its controller and its brokers.
func Describe(ctx context.Context, s *session.Session) error {
	metadata, err := s.Admin.BrokerMetadata(ctx)
	if err != nil {
		return fmt.Errorf("describe the cluster: %w", err)
	}
	fmt.Fprintf(s.Out, "Cluster ID: %s\nController: %d\n\n", metadata.Cluster, metadata.Controller)
	width := 4
	brokers := slices.SortedFunc(slices.Values(metadata.Brokers), func(a, b kadm.BrokerDetail) int { return cmp.Compare(a.NodeID, b.NodeID) })
	for _, b := range brokers {
		width = max(width, len(b.Host))
	}
	fmt.Fprintf(s.Out, "%-10s %-*s %-10s %s\n", "ID", width, "HOST", "PORT", "RACK")
	for _, b := range brokers {
		rack := "-"
		if b.Rack != nil {
			rack = *b.Rack
		}
		fmt.Fprintf(s.Out, "%-10d %-*s %-10d %s\n", b.NodeID, width, b.Host, b.Port, rack)
	}
	return nil
}

// APIVersions prints which versions of each API the brokers speak, and which one
// these tools would use. Brokers that agree share a table.
func APIVersions(ctx context.Context, s *session.Session) error {
	all, err := s.Admin.ApiVersions(ctx)
	if err != nil {
		return fmt.Errorf("ask for API versions: %w", err)
	}
	for _, broker := range all.Sorted() {
		if broker.Err != nil {
			fmt.Fprintf(s.Err, "broker %d: %v\n", broker.NodeID, broker.Err)
			continue
		}
		fmt.Fprintf(s.Out, "Broker %d\n%5s  %-32s %5s %5s  %s\n", broker.NodeID, "KEY", "API", "MIN", "MAX", "USED HERE")
		broker.EachKeySorted(func(key, least, most int16) {
			used := "-"
			if request := kmsg.RequestForKey(key); request != nil {
				if version := min(most, request.MaxVersion()); version >= least {
					used = fmt.Sprint(version)
				}
			}
			fmt.Fprintf(s.Out, "%5d  %-32s %5d %5d  %s\n", key, kmsg.NameForKey(key), least, most, used)
		})
	}
	return nil
}
