package engine

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The rules of version negotiation that real clients hold a broker to, by their numbers
// in the list of Kafka's compatibility rules that this project keeps. Rule 11 (a moved
// leader is told with the error) needs a second broker; package wire tests its form.

func versionsRequest(name, version string) *kmsg.ApiVersionsRequest {
	q := kmsg.NewPtrApiVersionsRequest()
	q.ClientSoftwareName, q.ClientSoftwareVersion = name, version
	return q
}

// advertised is what ApiVersions tells, by key.
func advertised(p *peer) map[int16]kmsg.ApiVersionsResponseApiKey {
	keys := map[int16]kmsg.ApiVersionsResponseApiKey{}
	for _, k := range ask[*kmsg.ApiVersionsResponse](p, 3, versionsRequest("test", "1")).ApiKeys {
		keys[k.ApiKey] = k
	}
	return keys
}

func TestRule01ApiVersionsUnknownVersion(t *testing.T) {
	p := dialed(t)
	// Version 99 is flexible as far as the broker can know, so its header has tags.
	q := versionsRequest("test", "1")
	raw := p.request(3, q)
	binary.BigEndian.PutUint16(raw[6:], 99)
	p.write(raw)
	body, err := p.receive()
	if err != nil {
		t.Fatal(err)
	}
	a := decode[*kmsg.ApiVersionsResponse](t, body, 0, q, p.last)
	want(t, "version 99", a.ErrorCode, kerr.UnsupportedVersion)
	if !slices.ContainsFunc(a.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool {
		return k.ApiKey == int16(kmsg.ApiVersions) && k.MaxVersion >= 4
	}) {
		t.Fatalf("the refusal does not tell which versions of ApiVersions there are: %+v", a.ApiKeys)
	}
	p.alive()
}

func TestRule01ApiVersionsHeaderHasNoTags(t *testing.T) {
	p := dialed(t)
	p.send(3, versionsRequest("test", "1"))
	body, err := p.receive()
	if err != nil {
		t.Fatal(err)
	}
	r := kbin.Reader{Src: body}
	r.Int32()
	if code := r.Int16(); code != 0 {
		t.Fatalf("what follows the correlation id is %d, want error code 0 at once", code)
	}
	if keys := r.CompactArrayLen(); keys < 20 {
		t.Fatalf("then come %d keys", keys)
	}
}

func TestRule01ApiVersionsClientSoftware(t *testing.T) {
	p := dialed(t)
	for _, test := range []struct {
		name, version string
		refused       *kerr.Error
	}{
		{"apache-kafka-java", "4.3.1", nil},
		{"a", "1", nil},
		{"", "1", kerr.InvalidRequest},
		{"name", "", kerr.InvalidRequest},
		{"-name", "1", kerr.InvalidRequest},
		{"name", "1.", kerr.InvalidRequest},
		{"a name", "1", kerr.InvalidRequest},
		{"n_ame", "1", kerr.InvalidRequest},
		{"name\n", "1", kerr.InvalidRequest},
	} {
		for _, version := range []int16{3, 4} {
			a := ask[*kmsg.ApiVersionsResponse](p, version, versionsRequest(test.name, test.version))
			want(t, "client "+test.name+" "+test.version, a.ErrorCode, test.refused)
		}
	}
}

func TestRule01ApiVersionsFeaturesWithMinimumZero(t *testing.T) {
	p := dialed(t)
	for version, shown := range map[int16]bool{3: false, 4: true} {
		a := ask[*kmsg.ApiVersionsResponse](p, version, versionsRequest("test", "1"))
		zero := slices.ContainsFunc(a.SupportedFeatures, func(f kmsg.ApiVersionsResponseSupportedFeature) bool { return f.MinVersion == 0 })
		if zero != shown {
			t.Errorf("version %d: a feature with minimum 0 is listed: %v, want %v; %+v", version, zero, shown, a.SupportedFeatures)
		}
	}
}

func TestRule01ApiVersionsExpectedClusterAndNode(t *testing.T) {
	onlyOurs(t) // Kafka has version 5 from 4.4 on
	p := dialed(t)
	cluster := ask[*kmsg.DescribeClusterResponse](p, 0, kmsg.NewPtrDescribeClusterRequest())
	for name, test := range map[string]struct {
		cluster *string
		node    int32
		code    int16
	}{
		"nobody in particular":  {nil, -1, 0},
		"this broker":           {&cluster.ClusterID, cluster.ControllerID, 0},
		"another node":          {&cluster.ClusterID, cluster.ControllerID + 1, 129},
		"another cluster":       {kmsg.StringPtr("elsewhere"), cluster.ControllerID, 129},
		"a node of no cluster":  {nil, cluster.ControllerID, kerr.InvalidRequest.Code},
		"a cluster and no node": {&cluster.ClusterID, -1, kerr.InvalidRequest.Code},
	} {
		q := versionsRequest("test", "1")
		q.ClusterID, q.NodeID = test.cluster, test.node
		if a := ask[*kmsg.ApiVersionsResponse](p, 5, q); a.ErrorCode != test.code {
			t.Errorf("%s: error %d, want %d", name, a.ErrorCode, test.code)
		}
	}
}

func TestRule02ProduceAdvertisesVersionsItRefuses(t *testing.T) {
	p := dialed(t)
	if k := advertised(p)[int16(kmsg.Produce)]; k.MinVersion != 0 || k.MaxVersion != 13 {
		t.Fatalf("Produce is advertised as %d to %d", k.MinVersion, k.MaxVersion)
	}
	onlyOurs(t) // Kafka closes the connection
	s := p.topic(1)
	for version := int16(0); version < 3; version++ {
		if r := p.produce(version, s, 0, records("old")); r.ErrorCode != kerr.UnsupportedVersion.Code {
			t.Errorf("version %d: %s", version, errorName(r.ErrorCode))
		}
	}
	p.alive()
	// Without an answer there is nobody to tell, so the connection ends.
	p.send(2, produceRequest(2, s, 0, 0, records("old")))
	p.ended()
	p.another().alive()
}

func TestRule03JoinGroupBeginsAtVersionZero(t *testing.T) {
	p := dialed(t)
	if k := advertised(p)[int16(kmsg.JoinGroup)]; k.MinVersion != 0 {
		t.Fatalf("JoinGroup is advertised from %d on", k.MinVersion)
	}
	p.coordinated()
	for _, version := range []int16{0, 1} {
		a := ask[*kmsg.JoinGroupResponse](p, version, joinRequest(unused(t), "", "range"))
		want(t, "join", a.ErrorCode, nil)
		if a.MemberID == "" || a.LeaderID != a.MemberID || a.Generation != 1 || len(a.Members) != 1 {
			t.Fatalf("version %d: the first member is answered with %+v", version, a)
		}
	}
}

func TestRule04VersionsThatLibrdkafkaInsistsOn(t *testing.T) {
	p := dialed(t)
	keys := advertised(p)
	for _, k := range []struct{ key, min, max int16 }{
		{int16(kmsg.OffsetForLeaderEpoch), 2, 4},
		{int16(kmsg.InitProducerID), 0, 5},
	} {
		if got := keys[k.key]; got.MinVersion > k.min || got.MaxVersion < k.max {
			t.Errorf("%s is advertised as %d to %d, want %d to %d", kmsg.NameForKey(k.key), got.MinVersion, got.MaxVersion, k.min, k.max)
		}
	}
	for _, key := range []kmsg.Key{kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn} {
		if k, ok := keys[int16(key)]; ok && k.MinVersion != 0 {
			t.Errorf("%s is advertised from %d on, librdkafka asks for version 0", key.Name(), k.MinVersion)
		}
	}
}

func TestRule05KeysThatAreNeverFlexible(t *testing.T) {
	p := dialed(t)
	keys := advertised(p)
	if k, ok := keys[int16(kmsg.SASLHandshake)]; ok && k.MaxVersion > 1 {
		t.Errorf("SaslHandshake is advertised up to %d", k.MaxVersion)
	}
	if k := keys[int16(kmsg.OffsetDelete)]; k.MaxVersion != 0 {
		t.Errorf("OffsetDelete is advertised up to %d", k.MaxVersion)
	}
	// A classic answer: correlation id, error, throttle time and an array, no tags.
	p.coordinated()
	q := kmsg.NewPtrOffsetDeleteRequest()
	q.Group = unused(t)
	p.send(0, q)
	body, err := p.receive()
	if err != nil {
		t.Fatal(err)
	}
	if len(body) != 4+2+4+4 {
		t.Fatalf("OffsetDelete is answered with %d bytes: %x", len(body), body)
	}
	want(t, "offsets of a group that does not exist", int16(binary.BigEndian.Uint16(body[4:])), kerr.GroupIDNotFound)
}

func TestRule06TopicIDsAreRealAndNewEachTime(t *testing.T) {
	p := dialed(t)
	keys := advertised(p)
	if keys[int16(kmsg.Metadata)].MaxVersion < 12 || keys[int16(kmsg.Produce)].MaxVersion < 13 {
		t.Fatalf("Metadata %+v, Produce %+v", keys[int16(kmsg.Metadata)], keys[int16(kmsg.Produce)])
	}
	s := p.topic(1)
	if s.id == [16]byte{} {
		t.Fatal("CreateTopics answers with the zero id")
	}
	for version := int16(10); version <= 13; version++ {
		q := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &s.name
		q.Topics = append(q.Topics, topic)
		if got := ask[*kmsg.MetadataResponse](p, version, q).Topics[0].TopicID; got != s.id {
			t.Errorf("Metadata version %d tells id %x, want %x", version, got, s.id)
		}
	}
	p.put(s, 0, records("one"))
	p.deleteTopic(s)
	again := p.topicNamed(s.name, 1)
	if again.id == s.id || again.id == [16]byte{} {
		t.Fatalf("the topic that was created again has id %x, before %x", again.id, s.id)
	}
	want(t, "produce to the old id", p.produce(13, s, 0, records("two")).ErrorCode, kerr.UnknownTopicID)
	want(t, "fetch from the old id", p.fetch(13, from(s, 0, 0)).ErrorCode, kerr.UnknownTopicID)
	want(t, "produce to the zero id", p.produce(13, subject{s.name, [16]byte{}}, 0, records("two")).ErrorCode, kerr.UnknownTopicID)
	r := p.produce(13, again, 0, records("two"))
	want(t, "produce to the new id", r.ErrorCode, nil)
	if r.BaseOffset != 0 {
		t.Fatalf("the new topic begins at offset %d", r.BaseOffset)
	}
}

func TestRule07MetadataNamesAndIDs(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	ask1 := func(version int16, name *string, id [16]byte) kmsg.MetadataResponseTopic {
		q := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic, topic.TopicID = name, id
		q.Topics = append(q.Topics, topic)
		a := ask[*kmsg.MetadataResponse](p, version, q)
		if len(a.Topics) != 1 {
			t.Fatalf("version %d: %+v", version, a)
		}
		return a.Topics[0]
	}
	want(t, "id in version 11", ask1(11, &s.name, s.id).ErrorCode, kerr.InvalidRequest)
	want(t, "id and no name in version 10", ask1(10, kmsg.StringPtr(""), s.id).ErrorCode, kerr.InvalidRequest)
	for version := int16(12); version <= 13; version++ {
		byID := ask1(version, nil, s.id)
		want(t, "by id", byID.ErrorCode, nil)
		if byID.Topic == nil || *byID.Topic != s.name || len(byID.Partitions) != 1 {
			t.Fatalf("version %d: by id: %+v", version, byID)
		}
		want(t, "a name beside an unknown id", ask1(version, &s.name, [16]byte{1, 2, 3}).ErrorCode, kerr.UnknownTopicID)
		unknown := ask1(version, nil, [16]byte{1, 2, 3})
		want(t, "unknown id", unknown.ErrorCode, kerr.UnknownTopicID)
		if unknown.Topic != nil || unknown.TopicID != [16]byte{1, 2, 3} {
			t.Fatalf("version %d: unknown id: %+v", version, unknown)
		}
	}
	a := ask[*kmsg.MetadataResponse](p, 13, kmsg.NewPtrMetadataRequest())
	want(t, "top-level error", a.ErrorCode, nil)
}

func TestRule08FetchFieldsThatAreNotZeroWhenAbsent(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	p.put(s, 0, records("one"))
	for version := int16(4); version <= 18; version++ {
		for _, test := range []struct {
			what       string
			offset     int64
			high, left int64
		}{{"at the end", 1, 1, 0}, {"with records", 0, 1, 0}, {"out of range", 7, -1, -1}} {
			r := p.fetch(version, from(s, 0, test.offset))
			if version >= 11 && r.PreferredReadReplica != -1 {
				t.Errorf("version %d, %s: preferred read replica %d", version, test.what, r.PreferredReadReplica)
			}
			if r.AbortedTransactions != nil {
				t.Errorf("version %d, %s: aborted transactions are not null", version, test.what)
			}
			if r.HighWatermark != test.high || r.LastStableOffset != test.high {
				t.Errorf("version %d, %s: high watermark %d, last stable offset %d, want %d", version, test.what, r.HighWatermark, r.LastStableOffset, test.high)
			}
			if version >= 5 && r.LogStartOffset != test.left {
				t.Errorf("version %d, %s: log start %d, want %d", version, test.what, r.LogStartOffset, test.left)
			}
		}
	}
}

func TestRule10TruncationIsDetectedByEpochs(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	p.put(s, 0, records("one"))
	epoch := p.metadata(s.name).Partitions[0].LeaderEpoch
	for known, expected := range map[int32]*kerr.Error{-1: nil, epoch: nil, epoch - 1: kerr.FencedLeaderEpoch, epoch + 1: kerr.UnknownLeaderEpoch} {
		if known == -1 && expected != nil {
			continue // one before epoch 0 means no epoch
		}
		q := from(s, 0, 0)
		q.Topics[0].Partitions[0].CurrentLeaderEpoch = known
		for _, version := range []int16{9, 12, 16} {
			want(t, "fetch", p.fetch(version, q).ErrorCode, expected)
		}
		for _, version := range []int16{4, 7} {
			want(t, "list offsets", p.offsetAt(version, s, 0, -1, known).ErrorCode, expected)
		}
		want(t, "offset for leader epoch", p.epochEnd(2, s, 0, epoch, known).ErrorCode, expected)
	}
}

func TestRule12TransactionsOfVersion2AreFinalized(t *testing.T) {
	p := dialed(t)
	a := ask[*kmsg.ApiVersionsResponse](p, 4, versionsRequest("test", "1"))
	levels := map[string]int16{}
	for _, f := range a.FinalizedFeatures {
		levels[f.Name] = f.MaxVersionLevel
	}
	if levels["transaction.version"] != 2 {
		t.Errorf("transaction.version 2 is not finalized: %+v", a.FinalizedFeatures)
	}
	if levels["metadata.version"] == 0 {
		t.Errorf("metadata.version is not finalized: %+v", a.FinalizedFeatures)
	}
}

func TestRule13NoTelemetryWithoutAReceiver(t *testing.T) {
	keys := advertised(dialed(t))
	for _, key := range []kmsg.Key{kmsg.GetTelemetrySubscriptions, kmsg.PushTelemetry} {
		if _, ok := keys[int16(key)]; ok {
			t.Errorf("%s is advertised", key.Name())
		}
	}
}

func TestRule14FlexibleHeader(t *testing.T) {
	p := dialed(t)
	q := kmsg.NewPtrMetadataRequest()
	q.SetVersion(9)
	q.Topics = []kmsg.MetadataRequestTopic{}
	tagged := func(correlation int32, clientID []byte, tags ...byte) []byte {
		h := header(int16(kmsg.Metadata), 9, correlation)[:8]
		h = append(append(h, clientID...), tags...)
		return frame(q.AppendTo(h))
	}
	null, named := []byte{0xff, 0xff}, []byte{0, 2, 'm', 'e'}
	for name, raw := range map[string][]byte{
		"client id as a classic string": tagged(7, named, 0),
		"client id null":                tagged(7, null, 0),
		"unknown tags are skipped":      tagged(7, named, 2, 100, 3, 'a', 'b', 'c', 101, 0),
	} {
		p.write(raw)
		a := expect[*kmsg.MetadataResponse](p, 9, q, 7)
		if len(a.Brokers) != 1 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	for name, raw := range map[string][]byte{
		"tags beyond the end":   tagged(7, named, 2, 100, 0xff, 0xff, 0xff, 0xff, 7),
		"too many tags":         tagged(7, named, 0xff, 0xff, 0xff, 0xff, 7),
		"length beyond 32 bits": tagged(7, named, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
	} {
		t.Run(name, func(t *testing.T) {
			bad := p.another()
			bad.t = t
			bad.write(raw)
			bad.ended()
		})
	}
	p.alive()
}

func TestRule14UnknownTagsInABodyAreSkipped(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	tags := func(into *kmsg.Tags) { into.Set(77, []byte("from the future")) }
	q := produceRequest(9, s, 0, -1, records("one"))
	tags(&q.UnknownTags)
	tags(&q.Topics[0].UnknownTags)
	tags(&q.Topics[0].Partitions[0].UnknownTags)
	a := ask[*kmsg.ProduceResponse](p, 9, q)
	want(t, "produce", a.Topics[0].Partitions[0].ErrorCode, nil)
	f := from(s, 0, 0)
	tags(&f.UnknownTags)
	tags(&f.Topics[0].UnknownTags)
	tags(&f.Topics[0].Partitions[0].UnknownTags)
	if r := p.fetch(12, f); len(values(t, r.RecordBatches)) != 1 {
		t.Fatalf("fetch: %+v", r)
	}
	m := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &s.name
	tags(&topic.UnknownTags)
	m.Topics = append(m.Topics, topic)
	tags(&m.UnknownTags)
	if got := ask[*kmsg.MetadataResponse](p, 12, m).Topics[0]; got.ErrorCode != 0 {
		t.Fatalf("metadata: %+v", got)
	}
}

// TestRule15OlderClientsFindTheirVersions: Sarama pinned to Kafka 2.8 and KafkaJS ask for
// these without looking.
func TestRule15OlderClientsFindTheirVersions(t *testing.T) {
	keys := advertised(dialed(t))
	for key, version := range map[kmsg.Key]int16{
		kmsg.Produce: 9, kmsg.Fetch: 12, kmsg.ListOffsets: 6, kmsg.Metadata: 11, kmsg.OffsetCommit: 8, kmsg.OffsetFetch: 7,
		kmsg.FindCoordinator: 3, kmsg.JoinGroup: 7, kmsg.Heartbeat: 4, kmsg.LeaveGroup: 4, kmsg.SyncGroup: 5, kmsg.DescribeGroups: 5,
		kmsg.ListGroups: 4, kmsg.ApiVersions: 3, kmsg.CreateTopics: 7, kmsg.DeleteTopics: 6, kmsg.DeleteRecords: 2,
		kmsg.InitProducerID: 4, kmsg.OffsetForLeaderEpoch: 4, kmsg.DescribeConfigs: 4, kmsg.AlterConfigs: 2, kmsg.DescribeLogDirs: 2,
		kmsg.CreatePartitions: 3, kmsg.DeleteGroups: 2, kmsg.IncrementalAlterConfigs: 1, kmsg.OffsetDelete: 0, kmsg.DescribeCluster: 0,
	} {
		if k, ok := keys[int16(key)]; !ok || k.MaxVersion < version {
			t.Errorf("%s: Kafka 2.8 has version %d, advertised is %+v", key.Name(), version, k)
		}
	}
	for key, version := range map[kmsg.Key]int16{ // KafkaJS, no flexible versions
		kmsg.Produce: 7, kmsg.Fetch: 11, kmsg.ListOffsets: 3, kmsg.Metadata: 6, kmsg.OffsetCommit: 5, kmsg.OffsetFetch: 4,
		kmsg.FindCoordinator: 2, kmsg.JoinGroup: 5, kmsg.Heartbeat: 3, kmsg.LeaveGroup: 3, kmsg.SyncGroup: 3, kmsg.CreateTopics: 3,
	} {
		if k := keys[int16(key)]; k.MinVersion > version || k.MaxVersion < version {
			t.Errorf("%s: KafkaJS wants version %d, advertised is %+v", key.Name(), version, k)
		}
	}
}

const notAsked = -1 << 31

func TestRule16AuthorizedOperationsWhenAsked(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	for _, asked := range []bool{false, true} {
		m := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &s.name
		m.Topics = append(m.Topics, topic)
		m.IncludeClusterAuthorizedOperations, m.IncludeTopicAuthorizedOperations = asked, asked
		a := ask[*kmsg.MetadataResponse](p, 8, m)
		d := kmsg.NewPtrDescribeClusterRequest()
		d.IncludeClusterAuthorizedOperations = asked
		c := ask[*kmsg.DescribeClusterResponse](p, 0, d)
		g := kmsg.NewPtrDescribeGroupsRequest()
		g.IncludeAuthorizedOperations = asked
		g.Groups = []string{unused(t)}
		p.coordinated()
		groups := ask[*kmsg.DescribeGroupsResponse](p, 3, g)
		for what, bits := range map[string]int32{
			"cluster in Metadata": a.AuthorizedOperations, "topic in Metadata": a.Topics[0].AuthorizedOperations,
			"cluster": c.ClusterAuthorizedOperations, "group": groups.Groups[0].AuthorizedOperations,
		} {
			if (bits != notAsked) != asked || asked && bits == 0 {
				t.Errorf("%s, asked %v: %b", what, asked, bits)
			}
		}
	}
}

func TestRule16CreateTopicsTellsSettingsAndTakesDefaults(t *testing.T) {
	p := dialed(t)
	q := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = unused(t), -1, -1
	retention := kmsg.NewCreateTopicsRequestTopicConfig()
	retention.Name, retention.Value = "retention.ms", kmsg.StringPtr("12345")
	topic.Configs = append(topic.Configs, retention)
	q.Topics = append(q.Topics, topic)
	a := ask[*kmsg.CreateTopicsResponse](p, 5, q).Topics[0]
	want(t, "create", a.ErrorCode, nil)
	if a.NumPartitions != 1 || a.ReplicationFactor != 1 {
		t.Errorf("defaults are %d partitions, %d replicas", a.NumPartitions, a.ReplicationFactor)
	}
	seen := map[string]kmsg.CreateTopicsResponseTopicConfig{}
	for _, c := range a.Configs {
		seen[c.Name] = c
	}
	if c := seen["retention.ms"]; c.Value == nil || *c.Value != "12345" || c.Source != int8(kmsg.ConfigSourceDynamicTopicConfig) {
		t.Errorf("retention.ms is told as %+v", c)
	}
	if c := seen["cleanup.policy"]; c.Value == nil || *c.Value != "delete" || c.Source != int8(kmsg.ConfigSourceDefaultConfig) {
		t.Errorf("cleanup.policy is told as %+v", c)
	}
}

func TestRule16DeleteTopicsByID(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	q := kmsg.NewPtrDeleteTopicsRequest()
	for _, id := range [][16]byte{s.id, {9, 9, 9}} {
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.TopicID = id
		q.Topics = append(q.Topics, topic)
	}
	a := ask[*kmsg.DeleteTopicsResponse](p, 6, q)
	if len(a.Topics) != 2 {
		t.Fatalf("%+v", a.Topics)
	}
	for _, r := range a.Topics {
		if r.TopicID == s.id {
			want(t, "known id", r.ErrorCode, nil)
			if r.Topic == nil || *r.Topic != s.name {
				t.Errorf("known id: %+v", r)
			}
		} else {
			want(t, "unknown id", r.ErrorCode, kerr.UnknownTopicID)
		}
	}
}
