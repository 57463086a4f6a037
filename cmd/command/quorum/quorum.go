// Package quorum tells how the quorum of the metadata is: who leads it, and how far its
// voters and observers are behind; and asks to change who votes.
package quorum

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/cmd/command/table"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type (
	replica = kmsg.DescribeQuorumResponseTopicPartitionReplicaState
	state   = kmsg.DescribeQuorumResponseTopicPartition
)

// describe asks for the state of the quorum, and where its nodes are.
func describe(ctx context.Context, s *session.Session) (*state, []kmsg.DescribeQuorumResponseNode, error) {
	if !s.Supports(kmsg.DescribeQuorum) {
		return nil, nil, s.ErrUnsupported(kmsg.DescribeQuorum)
	}
	request := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = "__cluster_metadata"
	topic.Partitions = []kmsg.DescribeQuorumRequestTopicPartition{kmsg.NewDescribeQuorumRequestTopicPartition()}
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(ctx, s.Client)
	if err == nil {
		err = refused(answer.ErrorCode, answer.ErrorMessage)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("describe the metadata quorum: %w", err)
	}
	if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return nil, nil, fmt.Errorf("describe the metadata quorum: the answer is not about one partition")
	}
	one := &answer.Topics[0].Partitions[0]
	if err := refused(one.ErrorCode, one.ErrorMessage); err != nil {
		return nil, nil, fmt.Errorf("describe the metadata quorum: %w", err)
	}
	return one, answer.Nodes, nil
}

func refused(code int16, text *string) error {
	if text == nil {
		return session.Refused(kerr.ErrorForCode(code), "")
	}
	return session.Refused(kerr.ErrorForCode(code), *text)
}

// leader is the state of the leader itself.
func leader(q *state) (replica, error) {
	i := slices.IndexFunc(q.CurrentVoters, func(r replica) bool { return r.ReplicaID == q.LeaderID })
	if i < 0 {
		return replica{}, fmt.Errorf("the metadata quorum has no leader among its voters: ask again when it has elected one")
	}
	return q.CurrentVoters[i], nil
}

// Status prints the quorum as a whole.
func Status(ctx context.Context, s *session.Session) error {
	metadata, err := s.Admin.BrokerMetadata(ctx)
	if err != nil {
		return fmt.Errorf("describe the cluster: %w", err)
	}
	q, nodes, err := describe(ctx, s)
	if err != nil {
		return err
	}
	return printStatus(s.Out, metadata.Cluster, q, nodes)
}

func printStatus(w io.Writer, cluster string, q *state, nodes []kmsg.DescribeQuorumResponseNode) error {
	first, err := leader(q)
	if err != nil {
		return err
	}
	last := slices.MinFunc(q.CurrentVoters, func(a, b replica) int { return cmp.Compare(a.LogEndOffset, b.LogEndOffset) })
	behind := int64(-1)
	switch {
	case last.ReplicaID == first.ReplicaID:
		behind = 0
	case first.LastCaughtUpTimestamp >= 0 && last.LastCaughtUpTimestamp >= 0:
		behind = first.LastCaughtUpTimestamp - last.LastCaughtUpTimestamp
	}
	for _, line := range [][2]string{
		{"ClusterId", cluster}, {"LeaderId", strconv.Itoa(int(q.LeaderID))}, {"LeaderEpoch", strconv.Itoa(int(q.LeaderEpoch))},
		{"HighWatermark", strconv.FormatInt(q.HighWatermark, 10)}, {"MaxFollowerLag", strconv.FormatInt(first.LogEndOffset-last.LogEndOffset, 10)},
		{"MaxFollowerLagTimeMs", strconv.FormatInt(behind, 10)}, {"CurrentVoters", names(q.CurrentVoters, nodes)}, {"CurrentObservers", names(q.Observers, nodes)},
	} {
		fmt.Fprintf(w, "%-23s %s\n", line[0]+":", line[1])
	}
	return nil
}

// names lists replicas with their folders and addresses: [{"id": 1, "endpoints": ["CONTROLLER://host:9093"]}].
func names(all []replica, nodes []kmsg.DescribeQuorumResponseNode) string {
	texts := make([]string, len(all))
	for i, r := range all {
		text := fmt.Sprintf(`{"id": %d`, r.ReplicaID)
		if r.ReplicaDirectoryID != ([16]byte{}) {
			text += fmt.Sprintf(`, "directoryId": "%s"`, directory(r))
		}
		if at := slices.IndexFunc(nodes, func(n kmsg.DescribeQuorumResponseNode) bool { return n.NodeID == r.ReplicaID }); at >= 0 && len(nodes[at].Listeners) > 0 {
			var endpoints []string
			for _, l := range nodes[at].Listeners {
				host := l.Host
				if strings.Contains(host, ":") {
					host = "[" + host + "]"
				}
				endpoints = append(endpoints, fmt.Sprintf(`"%s://%s:%d"`, l.Name, host, l.Port))
			}
			text += `, "endpoints": [` + strings.Join(endpoints, ", ") + "]"
		}
		texts[i] = text + "}"
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

func directory(r replica) string { return identity(r.ReplicaDirectoryID) }

// Replication prints how far each replica is. Human says times as how long ago they are.
func Replication(ctx context.Context, s *session.Session, human bool, now func() time.Time) error {
	q, _, err := describe(ctx, s)
	if err != nil {
		return err
	}
	return printReplication(s.Out, q, human, now())
}

func printReplication(w io.Writer, q *state, human bool, now time.Time) error {
	first, err := leader(q)
	if err != nil {
		return err
	}
	followers := slices.DeleteFunc(slices.Clone(q.CurrentVoters), func(r replica) bool { return r.ReplicaID == q.LeaderID })
	var rows [][]string
	for _, part := range []struct {
		status   string
		replicas []replica
	}{{"Leader", []replica{first}}, {"Follower", followers}, {"Observer", q.Observers}} {
		for _, r := range part.replicas {
			fetched, err := moment(r.LastFetchTimestamp, human, now, "last fetch")
			if err != nil {
				return err
			}
			caughtUp, err := moment(r.LastCaughtUpTimestamp, human, now, "last caught up")
			if err != nil {
				return err
			}
			rows = append(rows, []string{strconv.Itoa(int(r.ReplicaID)), directory(r), strconv.FormatInt(r.LogEndOffset, 10),
				strconv.FormatInt(first.LogEndOffset-r.LogEndOffset, 10), fetched, caughtUp, part.status})
		}
	}
	table.Print(w, []string{"NodeId", "DirectoryId", "LogEndOffset", "Lag", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Status"}, rows)
	return nil
}

func moment(at int64, human bool, now time.Time, what string) (string, error) {
	switch {
	case at < 0 || !human:
		return strconv.FormatInt(at, 10), nil
	case at == 0 || at > now.UnixMilli():
		return "", fmt.Errorf("Error while computing relative time, possible drift in system clock.\nCurrent timestamp is %d, %s timestamp is %d", now.UnixMilli(), what, at)
	}
	return fmt.Sprintf("%d ms ago", now.UnixMilli()-at), nil
}
