package quorum

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func three() (*state, []kmsg.DescribeQuorumResponseNode) {
	q := &state{LeaderID: 2, LeaderEpoch: 7, HighWatermark: 90,
		CurrentVoters: []replica{{ReplicaID: 1, LogEndOffset: 95, LastFetchTimestamp: 1_700_000_000_000, LastCaughtUpTimestamp: 1_699_999_999_000},
			{ReplicaID: 2, LogEndOffset: 100, LastFetchTimestamp: 1_700_000_000_500, LastCaughtUpTimestamp: 1_700_000_000_500}},
		Observers: []replica{{ReplicaID: 3, ReplicaDirectoryID: [16]byte{1}, LogEndOffset: 80, LastFetchTimestamp: -1, LastCaughtUpTimestamp: -1}}}
	return q, []kmsg.DescribeQuorumResponseNode{{NodeID: 1, Listeners: []kmsg.DescribeQuorumResponseNodeListener{{Name: "CONTROLLER", Host: "::1", Port: 9093}}}}
}

func TestStatus(t *testing.T) {
	q, nodes := three()
	var out bytes.Buffer
	if err := printStatus(&out, "abc", q, nodes); err != nil {
		t.Fatal(err)
	}
	want := `ClusterId:              abc
LeaderId:               2
LeaderEpoch:            7
HighWatermark:          90
MaxFollowerLag:         5
MaxFollowerLagTimeMs:   1500
CurrentVoters:          [{"id": 1, "endpoints": ["CONTROLLER://[::1]:9093"]}, {"id": 2}]
CurrentObservers:       [{"id": 3, "directoryId": "AQAAAAAAAAAAAAAAAAAAAA"}]
`
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
	q.LeaderID = 9
	if err := printStatus(&out, "abc", q, nodes); err == nil {
		t.Error("a quorum without a leader was described")
	}
}

func TestReplication(t *testing.T) {
	q, _ := three()
	var out bytes.Buffer
	if err := printReplication(&out, q, true, time.UnixMilli(1_700_000_000_510)); err != nil {
		t.Fatal(err)
	}
	want := "NodeId\tDirectoryId           \tLogEndOffset\tLag\tLastFetchTimestamp\tLastCaughtUpTimestamp\tStatus  \t\n" +
		"2     \tAAAAAAAAAAAAAAAAAAAAAA\t100         \t0  \t10 ms ago         \t10 ms ago            \tLeader  \t\n" +
		"1     \tAAAAAAAAAAAAAAAAAAAAAA\t95          \t5  \t510 ms ago        \t1510 ms ago          \tFollower\t\n" +
		"3     \tAQAAAAAAAAAAAAAAAAAAAA\t80          \t20 \t-1                \t-1                   \tObserver\t\n"
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
	if err := printReplication(&out, q, true, time.UnixMilli(1_700_000_000_400)); err == nil || !strings.Contains(err.Error(), "drift in system clock") {
		t.Errorf("a time that is to come: %v", err)
	}
}
