package engine

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// atOnce sends two requests together and answers what the second is told.
func atOnce[B kmsg.Response](p *peer, version int16, first kmsg.Request, nextVersion int16, next kmsg.Request) B {
	p.t.Helper()
	p.write(append(p.request(version, first), p.request(nextVersion, next)...))
	expect[kmsg.Response](p, version, first, p.last-1)
	return expect[B](p, nextVersion, next, p.last)
}

// changes are requests that change something, each with one that looks, and what is wrong with what that sees.
var changes = map[string]func(p *peer, s subject) (got, want any){
	"a commit": func(p *peer, s subject) (any, any) {
		group := unused(p.t)
		a := atOnce[*kmsg.OffsetFetchResponse](p, 7, commitRequest(7, group, s, 2), 5, offsetsRequest(5, group, s))
		return a.Topics[0].Partitions[0].Offset, int64(2)
	},
	"records that are deleted": func(p *peer, s subject) (any, any) {
		q, look := kmsg.NewPtrDeleteRecordsRequest(), kmsg.NewPtrListOffsetsRequest()
		q.TimeoutMillis = long
		q.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: s.name, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 2}}}}
		look.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: s.name, Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Timestamp: -2, CurrentLeaderEpoch: anyEpoch}}}}
		return atOnce[*kmsg.ListOffsetsResponse](p, 2, q, 5, look).Topics[0].Partitions[0].Offset, int64(2)
	},
	"a setting": func(p *peer, s subject) (any, any) {
		q, look := kmsg.NewPtrIncrementalAlterConfigsRequest(), kmsg.NewPtrDescribeConfigsRequest()
		q.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
			ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: s.name,
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{alteration("retention.ms=12345")},
		}}
		look.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: s.name, ConfigNames: []string{"retention.ms"}}}
		return *atOnce[*kmsg.DescribeConfigsResponse](p, 1, q, 4, look).Resources[0].Configs[0].Value, "12345"
	},
	"more partitions": func(p *peer, s subject) (any, any) {
		q, look := kmsg.NewPtrCreatePartitionsRequest(), kmsg.NewPtrMetadataRequest()
		q.TimeoutMillis = long
		q.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: s.name, Count: 3}}
		look.Topics = []kmsg.MetadataRequestTopic{{Topic: &s.name}}
		return len(atOnce[*kmsg.MetadataResponse](p, 3, q, 9, look).Topics[0].Partitions), 3
	},
}

// TestTheNextRequestSeesWhatTheOneBeforeHasChanged: a client that does not wait for an answer, as a consumer does that
// commits and then asks what is committed, finds what it asked for. In Kafka, too, one request of a connection is over
// before the next begins.
func TestTheNextRequestSeesWhatTheOneBeforeHasChanged(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			p := p.at(t)
			s := p.topic(1)
			p.put(s, 0, records("a", "b", "c"))
			if got, want := change(p, s); got != want {
				t.Errorf("the request after it is told %v, want %v", got, want)
			}
		})
	}
}
