package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/batch"
)

// Shorter names for what is said often.
const (
	aTopic  = kmsg.ConfigResourceTypeTopic
	aBroker = kmsg.ConfigResourceTypeBroker
)

// configs describes one resource, all of its settings or those named.
func (p *peer) configs(kind kmsg.ConfigResourceType, name string, only ...string) map[string]kmsg.DescribeConfigsResponseResourceConfig {
	p.t.Helper()
	r := p.described(4, kind, name, only...)
	want(p.t, "describe "+name, r.ErrorCode, nil)
	all := map[string]kmsg.DescribeConfigsResponseResourceConfig{}
	for _, c := range r.Configs {
		all[c.Name] = c
	}
	return all
}

func (p *peer) described(version int16, kind kmsg.ConfigResourceType, name string, only ...string) kmsg.DescribeConfigsResponseResource {
	p.t.Helper()
	q := kmsg.NewPtrDescribeConfigsRequest()
	q.IncludeSynonyms, q.IncludeDocumentation = true, true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	if len(only) > 0 {
		r.ConfigNames = only
	}
	q.Resources = append(q.Resources, r)
	a := ask[*kmsg.DescribeConfigsResponse](p, version, q)
	if len(a.Resources) != 1 || a.Resources[0].ResourceType != kind || a.Resources[0].ResourceName != name {
		p.t.Fatalf("describe %s: %+v", name, a)
	}
	return a.Resources[0]
}

// alteration is one change: "name=value", or with another operation before it.
func alteration(text string) kmsg.IncrementalAlterConfigsRequestResourceConfig {
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	name, value, given := strings.Cut(text, "=")
	switch name[0] {
	case '-':
		c.Op, name = kmsg.IncrementalAlterConfigOpDelete, name[1:]
	case '+':
		c.Op, name = kmsg.IncrementalAlterConfigOpAppend, name[1:]
	case '~':
		c.Op, name = kmsg.IncrementalAlterConfigOpSubtract, name[1:]
	case '?':
		c.Op, name = 9, name[1:]
	}
	c.Name = name
	if given {
		c.Value = &value
	}
	return c
}

// alter changes settings and tells with which error.
func (p *peer) alter(kind kmsg.ConfigResourceType, name string, validate bool, changes ...string) int16 {
	p.t.Helper()
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	q.ValidateOnly = validate
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, change := range changes {
		r.Configs = append(r.Configs, alteration(change))
	}
	q.Resources = append(q.Resources, r)
	a := ask[*kmsg.IncrementalAlterConfigsResponse](p, 1, q)
	if len(a.Resources) != 1 || a.Resources[0].ResourceName != name {
		p.t.Fatalf("alter %s: %+v", name, a)
	}
	return a.Resources[0].ErrorCode
}

// becomes waits until a setting has a value, which a Kafka shows only after the answer.
func (p *peer) becomes(kind kmsg.ConfigResourceType, name, setting, value string) kmsg.DescribeConfigsResponseResourceConfig {
	p.t.Helper()
	var got kmsg.DescribeConfigsResponseResourceConfig
	for end := time.Now().Add(patience); time.Now().Before(end); {
		got = p.configs(kind, name, setting)[setting]
		if got.Value != nil && *got.Value == value {
			return got
		}
		if !foreign() {
			break
		}
	}
	shown := "null"
	if got.Value != nil {
		shown = *got.Value
	}
	p.t.Fatalf("%s is %s, want %s", setting, shown, value)
	return got
}

func sources(c kmsg.DescribeConfigsResponseResourceConfig) string {
	var all []string
	for _, s := range c.ConfigSynonyms {
		value := "null"
		if s.Value != nil {
			value = *s.Value
		}
		all = append(all, fmt.Sprintf("%s:%s=%s", s.Source, s.Name, value))
	}
	return strings.Join(all, " ")
}

func TestDescribeConfigsTellsWhereSettingsComeFrom(t *testing.T) {
	p := dialed(t)
	s := p.topic(1, "segment.bytes", "2097152")
	self := fmt.Sprint(p.self())
	for _, test := range []struct {
		setting, value string
		source         kmsg.ConfigSource
		synonyms       string
	}{
		{"segment.bytes", "2097152", kmsg.ConfigSourceDynamicTopicConfig, "DYNAMIC_TOPIC_CONFIG:segment.bytes=2097152 DEFAULT_CONFIG:log.segment.bytes=1073741824"},
		{"max.message.bytes", "1048588", kmsg.ConfigSourceDefaultConfig, "DEFAULT_CONFIG:message.max.bytes=1048588"},
		{"cleanup.policy", "delete", kmsg.ConfigSourceDefaultConfig, "DEFAULT_CONFIG:log.cleanup.policy=delete"},
	} {
		c := p.configs(aTopic, s.name)[test.setting]
		if c.Value == nil || *c.Value != test.value || c.Source != test.source || c.ReadOnly || c.IsSensitive || c.Documentation == nil {
			t.Errorf("%s: %+v", test.setting, c)
		}
		if got := sources(c); got != test.synonyms {
			t.Errorf("%s comes from %s, want %s", test.setting, got, test.synonyms)
		}
	}
	for setting, kind := range map[string]kmsg.ConfigType{
		"retention.ms": kmsg.ConfigTypeLong, "max.message.bytes": kmsg.ConfigTypeInt, "cleanup.policy": kmsg.ConfigTypeList,
		"compression.type": kmsg.ConfigTypeString, "preallocate": kmsg.ConfigTypeBoolean, "min.cleanable.dirty.ratio": kmsg.ConfigTypeDouble,
	} {
		if c := p.configs(aTopic, s.name)[setting]; c.ConfigType != kind {
			t.Errorf("%s is a %v, want %v", setting, c.ConfigType, kind)
		}
	}
	if only := p.configs(aTopic, s.name, "retention.ms", "no.such"); len(only) != 1 {
		t.Errorf("asked for one: %+v", only)
	}
	node := p.configs(aBroker, self)
	if c := node["log.dirs"]; !c.ReadOnly || c.Source != kmsg.ConfigSourceStaticBrokerConfig {
		t.Errorf("log.dirs: %+v", c)
	}
	if c := node["message.max.bytes"]; c.ReadOnly || c.Source != kmsg.ConfigSourceDefaultConfig {
		t.Errorf("message.max.bytes: %+v", c)
	}
}

func TestDescribeConfigsErrors(t *testing.T) {
	p := dialed(t)
	for what, test := range map[string]struct {
		kind     kmsg.ConfigResourceType
		name     string
		expected *kerr.Error
	}{
		"unknown topic":  {aTopic, unused(t), kerr.UnknownTopicOrPartition},
		"bad topic":      {aTopic, "a b", kerr.InvalidTopicException},
		"no topic":       {aTopic, "", kerr.InvalidTopicException},
		"unknown broker": {aBroker, "4711", kerr.InvalidRequest},
		"no broker's id": {aBroker, "first", kerr.InvalidRequest},
		"unknown kind":   {99, "x", kerr.InvalidRequest},
	} {
		r := p.described(1, test.kind, test.name)
		want(t, what, r.ErrorCode, test.expected)
		if len(r.Configs) != 0 {
			t.Errorf("%s: %+v", what, r.Configs)
		}
	}
}

// A broker has thousands of times as many bytes of settings as its name, which may be asked for again and again.
func TestDescribeConfigsIsBounded(t *testing.T) {
	p := dialed(t)
	q := kmsg.NewPtrDescribeConfigsRequest()
	q.IncludeSynonyms, q.IncludeDocumentation = true, true
	q.Resources = slices.Repeat([]kmsg.DescribeConfigsRequestResource{{ResourceType: aBroker, ResourceName: "1"}}, 2000)
	a := ask[*kmsg.DescribeConfigsResponse](p, 4, q)
	if len(a.Resources) != len(q.Resources) || len(a.Resources[0].Configs) < 100 {
		t.Fatalf("%d resources are answered, the first with %d settings", len(a.Resources), len(a.Resources[0].Configs))
	}
	bytes, last := 0, a.Resources[len(a.Resources)-1]
	for i := range a.Resources {
		for j := range a.Resources[i].Configs {
			bytes += len(*a.Resources[i].Configs[j].Documentation)
		}
	}
	want(t, "the last", last.ErrorCode, kerr.InvalidRequest)
	if bytes > 64<<20 || !strings.Contains(*last.ErrorMessage, "ask for fewer") {
		t.Errorf("documentation has %d bytes; the last: %s", bytes, *last.ErrorMessage)
	}
	if r := p.described(4, aBroker, "1"); r.ErrorCode != 0 || len(r.Configs) < 100 {
		t.Errorf("the next request: %+v", r)
	}
}

func TestAlterConfigs(t *testing.T) {
	p := dialed(t)
	s := p.topic(1, "retention.ms", "5000", "segment.ms", "6000")
	replace := func(name string, validate bool, settings ...string) int16 {
		q := kmsg.NewPtrAlterConfigsRequest()
		q.ValidateOnly = validate
		r := kmsg.NewAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = aTopic, name
		for i := 0; i < len(settings); i += 2 {
			c := kmsg.NewAlterConfigsRequestResourceConfig()
			c.Name, c.Value = settings[i], kmsg.StringPtr(settings[i+1])
			r.Configs = append(r.Configs, c)
		}
		q.Resources = append(q.Resources, r)
		return ask[*kmsg.AlterConfigsResponse](p, 2, q).Resources[0].ErrorCode
	}
	want(t, "validate", replace(s.name, true, "retention.ms", "7000"), nil)
	p.becomes(aTopic, s.name, "retention.ms", "5000")
	want(t, "unknown topic", replace(unused(t), false, "retention.ms", "7000"), kerr.UnknownTopicOrPartition)
	want(t, "unknown setting", replace(s.name, false, "no.such", "1"), kerr.InvalidConfig)
	want(t, "bad value", replace(s.name, false, "retention.ms", "soon"), kerr.InvalidConfig)
	want(t, "replace", replace(s.name, false, "retention.ms", "7000"), nil)
	p.becomes(aTopic, s.name, "retention.ms", "7000")
	p.becomes(aTopic, s.name, "segment.ms", "604800000") // what is not named goes
}

func TestIncrementalAlterConfigs(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	for _, step := range []struct {
		change   string
		expected *kerr.Error
		setting  string
		value    string
	}{
		{"retention.ms=5000", nil, "retention.ms", "5000"},
		{"segment.ms=6000", nil, "retention.ms", "5000"},
		{"-retention.ms", nil, "retention.ms", "604800000"},
		{"-retention.ms", nil, "retention.ms", "604800000"},
		{"+cleanup.policy=compact", nil, "cleanup.policy", "delete,compact"},
		{"+cleanup.policy=compact", nil, "cleanup.policy", "delete,compact"},
		{"~cleanup.policy=delete", nil, "cleanup.policy", "compact"},
		{"~cleanup.policy=nothing", nil, "cleanup.policy", "compact"},
		{"+retention.ms=1", kerr.InvalidConfig, "retention.ms", "604800000"},
		{"+cleanup.policy=burn", kerr.InvalidConfig, "cleanup.policy", "compact"},
		{"no.such=1", kerr.InvalidConfig, "segment.ms", "6000"},
		{"segment.ms=soon", kerr.InvalidConfig, "segment.ms", "6000"},
		{"segment.ms=0", kerr.InvalidConfig, "segment.ms", "6000"},
		{"segment.ms", kerr.InvalidRequest, "segment.ms", "6000"},
		{"?segment.ms=5", kerr.InvalidRequest, "segment.ms", "6000"},
	} {
		if step.change[0] == '?' && foreign() {
			continue // UNKNOWN_SERVER_ERROR there
		}
		want(t, step.change, p.alter(aTopic, s.name, false, step.change), step.expected)
		p.becomes(aTopic, s.name, step.setting, step.value)
	}
	want(t, "twice", p.alter(aTopic, s.name, false, "segment.ms=1000", "-segment.ms"), kerr.InvalidRequest)
	want(t, "all or none", p.alter(aTopic, s.name, false, "segment.ms=1000", "retention.ms=soon"), kerr.InvalidConfig)
	p.becomes(aTopic, s.name, "segment.ms", "6000")
	want(t, "validate", p.alter(aTopic, s.name, true, "segment.ms=1000"), nil)
	p.becomes(aTopic, s.name, "segment.ms", "6000")
	want(t, "unknown topic", p.alter(aTopic, unused(t), false, "segment.ms=1000"), kerr.UnknownTopicOrPartition)
	want(t, "unknown broker", p.alter(aBroker, "4711", false, "message.max.bytes=1000"), kerr.InvalidRequest)
	want(t, "unknown kind", p.alter(99, "x", false, "segment.ms=1000"), kerr.InvalidRequest)
	want(t, "read-only", p.alter(aBroker, fmt.Sprint(p.self()), false, "log.dirs=/elsewhere"), kerr.InvalidRequest)
}

func TestAlteredTopicSettingsCountAtOnceAndAfterARestart(t *testing.T) {
	onlyOurs(t)
	folder, b := begun(t)
	p := dial(t, b.Addresses()[0])
	s := p.topic(1)
	large := func() []byte { return records(strings.Repeat("x", 3000)) }
	p.put(s, 0, large())
	want(t, "alter", p.alter(aTopic, s.name, false, "max.message.bytes=2000", "message.timestamp.type=LogAppendTime", "compression.type=gzip"), nil)
	check := func() {
		t.Helper()
		want(t, "too large now", p.produce(9, s, 0, large()).ErrorCode, kerr.MessageTooLarge)
		r := p.produce(9, s, 0, records("small"))
		want(t, "small", r.ErrorCode, nil)
		if got := batches(t, p.fetch(12, from(s, 0, r.BaseOffset)).RecordBatches)[0]; r.LogAppendTime < 0 || !got.LogAppendTime() || got.Codec() != batch.Gzip {
			t.Fatalf("time %d, %s", r.LogAppendTime, got.Codec())
		}
	}
	check()
	stop(t, b)
	p = dial(t, start(t, folder).Addresses()[0])
	check()
	want(t, "delete", p.alter(aTopic, s.name, false, "-max.message.bytes"), nil)
	want(t, "large again", p.produce(9, s, 0, large()).ErrorCode, nil)
}

func TestAlteredBrokerSettingsCountAtOnceAndAfterARestart(t *testing.T) {
	onlyOurs(t)
	folder, b := begun(t)
	p := dial(t, b.Addresses()[0])
	self := fmt.Sprint(p.self())
	s, own := p.topic(1), p.topic(1, "max.message.bytes", "4000")
	large := func() []byte { return records(strings.Repeat("x", 3000)) }
	want(t, "for all brokers", p.alter(aBroker, "", false, "message.max.bytes=2000"), nil)
	check := func() {
		t.Helper()
		want(t, "follows the broker", p.produce(9, s, 0, large()).ErrorCode, kerr.MessageTooLarge)
		want(t, "has its own", p.produce(9, own, 0, large()).ErrorCode, nil)
	}
	check()
	if c := p.configs(aTopic, s.name)["max.message.bytes"]; *c.Value != "2000" || c.Source != kmsg.ConfigSourceDynamicDefaultBrokerConfig {
		t.Errorf("%s from %s", *c.Value, c.Source)
	}
	want(t, "for this broker", p.alter(aBroker, self, false, "message.max.bytes=2500"), nil)
	c := p.configs(aBroker, self)["message.max.bytes"]
	if expected := "DYNAMIC_BROKER_CONFIG:message.max.bytes=2500 DYNAMIC_DEFAULT_BROKER_CONFIG:message.max.bytes=2000 DEFAULT_CONFIG:message.max.bytes=1048588"; sources(c) != expected {
		t.Errorf("sources %s, want %s", sources(c), expected)
	}
	check()
	stop(t, b)
	p = dial(t, start(t, folder).Addresses()[0])
	check()
	want(t, "take both back", p.alter(aBroker, "", false, "-message.max.bytes"), nil)
	want(t, "take both back", p.alter(aBroker, self, false, "-message.max.bytes"), nil)
	want(t, "the default", p.produce(9, s, 0, large()).ErrorCode, nil)
}

func TestDescribeCluster(t *testing.T) {
	p := dialed(t)
	m := ask[*kmsg.MetadataResponse](p, 9, kmsg.NewPtrMetadataRequest())
	a := ask[*kmsg.DescribeClusterResponse](p, 1, kmsg.NewPtrDescribeClusterRequest())
	if a.ClusterID != *m.ClusterID || a.ControllerID != m.ControllerID || len(a.Brokers) != 1 || a.Brokers[0].Host != m.Brokers[0].Host || a.Brokers[0].Port != m.Brokers[0].Port {
		t.Fatalf("%+v, and Metadata %+v", a, m)
	}
	q := kmsg.NewPtrDescribeClusterRequest()
	q.EndpointType = 2
	want(t, "controllers", ask[*kmsg.DescribeClusterResponse](p, 1, q).ErrorCode, kerr.MismatchedEndpointType)
	q.EndpointType = 77
	want(t, "who knows", ask[*kmsg.DescribeClusterResponse](p, 1, q).ErrorCode, kerr.UnsupportedEndpointType)
}

func TestDescribeLogDirs(t *testing.T) {
	p := dialed(t)
	s, empty := p.topic(2), p.topic(1)
	sent := records("one", "two")
	p.put(s, 1, append([]byte{}, sent...))
	q := kmsg.NewPtrDescribeLogDirsRequest()
	for _, asked := range []subject{s, empty} {
		topic := kmsg.NewDescribeLogDirsRequestTopic()
		topic.Topic, topic.Partitions = asked.name, []int32{0, 1, 7}
		q.Topics = append(q.Topics, topic)
	}
	missing := kmsg.NewDescribeLogDirsRequestTopic()
	missing.Topic, missing.Partitions = "nowhere", []int32{0}
	q.Topics = append(q.Topics, missing)
	a := ask[*kmsg.DescribeLogDirsResponse](p, 4, q)
	if len(a.Dirs) != 1 || a.Dirs[0].ErrorCode != 0 || a.Dirs[0].TotalBytes != -1 && a.Dirs[0].TotalBytes < a.Dirs[0].UsableBytes || a.Dirs[0].UsableBytes <= 0 {
		t.Fatalf("%+v", a)
	}
	sizes := map[string]int64{}
	for _, topic := range a.Dirs[0].Topics {
		for _, part := range topic.Partitions {
			sizes[fmt.Sprintf("%s-%d", topic.Topic, part.Partition)] = part.Size
			if part.IsFuture || part.OffsetLag != 0 {
				t.Errorf("%+v", part)
			}
		}
	}
	expected := map[string]int64{s.name + "-0": 0, s.name + "-1": int64(len(sent)), empty.name + "-0": 0}
	if fmt.Sprint(sizes) != fmt.Sprint(expected) {
		t.Errorf("sizes %v, want %v", sizes, expected)
	}
	none := kmsg.NewPtrDescribeLogDirsRequest()
	none.Topics = []kmsg.DescribeLogDirsRequestTopic{}
	if a := ask[*kmsg.DescribeLogDirsResponse](p, 4, none); len(a.Dirs) != 1 || len(a.Dirs[0].Topics) != 0 {
		t.Errorf("asked for none: %+v", a)
	}
	all := ask[*kmsg.DescribeLogDirsResponse](p, 4, kmsg.NewPtrDescribeLogDirsRequest())
	if !slices.ContainsFunc(all.Dirs[0].Topics, func(topic kmsg.DescribeLogDirsResponseDirTopic) bool { return topic.Topic == empty.name }) {
		t.Errorf("asked for all: %+v", all)
	}
}

// dir describes the only log folder, of one topic.
func (p *peer) dir(s subject, partitions ...int32) (kmsg.DescribeLogDirsResponseDir, map[int32]kmsg.DescribeLogDirsResponseDirTopicPartition) {
	p.t.Helper()
	q := kmsg.NewPtrDescribeLogDirsRequest()
	topic := kmsg.NewDescribeLogDirsRequestTopic()
	topic.Topic, topic.Partitions = s.name, partitions
	q.Topics = append(q.Topics, topic)
	a := ask[*kmsg.DescribeLogDirsResponse](p, 4, q)
	if len(a.Dirs) != 1 || a.Dirs[0].ErrorCode != 0 || len(a.Dirs[0].Topics) != 1 || len(a.Dirs[0].Topics[0].Partitions) != len(partitions) {
		p.t.Fatalf("%+v", a)
	}
	found := map[int32]kmsg.DescribeLogDirsResponseDirTopicPartition{}
	for _, part := range a.Dirs[0].Topics[0].Partitions {
		if part.OffsetLag != 0 || part.IsFuture {
			p.t.Errorf("%+v lags behind itself", part)
		}
		found[part.Partition] = part
	}
	return a.Dirs[0], found
}

// segmentBytes adds up the segments of a partition in a folder.
func segmentBytes(t *testing.T, folder string, s subject, partition int) (bytes int64, segments int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, fmt.Sprintf("%s-%d", s.name, partition), "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
	}
	return bytes, len(names)
}

// TestDescribeLogDirsTellsWhatIsOnTheDisk: the size of a partition is that of its segments,
// as in Kafka, while it grows, after records were deleted, and before it was opened again;
// the bytes of the disk are those of its file system.
func TestDescribeLogDirsTellsWhatIsOnTheDisk(t *testing.T) {
	onlyOurs(t)
	folder, b := begun(t)
	p := dial(t, b.Addresses()[0])
	s := p.topic(2, "segment.bytes", "1048576")
	var sent int64
	for range 8 {
		one := records(strings.Repeat("x", 300_000))
		sent += int64(len(one))
		p.put(s, 0, one)
	}
	check := func(p *peer, when string, expected int64) {
		t.Helper()
		dir, found := p.dir(s, 0, 1)
		onDisk, segments := segmentBytes(t, folder, s, 0)
		if found[0].Size != onDisk || onDisk != expected || found[1].Size != 0 {
			t.Errorf("%s: sizes are %d and %d, %d segments have %d, want %d", when, found[0].Size, found[1].Size, segments, onDisk, expected)
		}
		var fs syscall.Statfs_t
		if err := syscall.Statfs(folder, &fs); err != nil {
			t.Fatal(err)
		}
		usable := int64(fs.Bavail) * fs.Frsize
		if dir.Dir != folder || dir.TotalBytes != int64(fs.Blocks)*fs.Frsize || max(dir.UsableBytes-usable, usable-dir.UsableBytes) > dir.TotalBytes/10 {
			t.Errorf("%s: %d of %d bytes of %s are usable, want about %d of %d", when, dir.UsableBytes, dir.TotalBytes, dir.Dir, usable, int64(fs.Blocks)*fs.Frsize)
		}
	}
	if _, segments := segmentBytes(t, folder, s, 0); segments != 3 {
		t.Fatalf("%d segments, want 3", segments)
	}
	check(p, "written", sent)
	p.deleteRecords(s, 0, 3, 3) // all that the first segment has
	for end := time.Now().Add(patience); ; {
		if _, segments := segmentBytes(t, folder, s, 0); segments == 2 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the first segment is still there")
		}
		retainAll(b, time.Now().Add(time.Hour))
	}
	check(p, "shortened", sent/8*5)
	stop(t, b)
	check(dial(t, start(t, folder).Addresses()[0]), "not opened since the start", sent/8*5)
}

// TestDescribeLogDirsOfSeveralFolders: each partition is in the folder where it lies.
func TestDescribeLogDirsOfSeveralFolders(t *testing.T) {
	onlyOurs(t)
	folders := []string{t.TempDir(), t.TempDir()}
	p := dial(t, start(t, strings.Join(folders, ",")).Addresses()[0])
	s := p.topic(4)
	sizes := map[string]int64{}
	for i := range int32(4) {
		one := records(strings.Repeat("x", int(i+1)*1000))
		p.put(s, i, append([]byte{}, one...))
		sizes[fmt.Sprint(i)] = int64(len(one))
	}
	a := ask[*kmsg.DescribeLogDirsResponse](p, 4, kmsg.NewPtrDescribeLogDirsRequest())
	if len(a.Dirs) != 2 || a.Dirs[0].Dir != folders[0] || a.Dirs[1].Dir != folders[1] {
		t.Fatalf("%+v", a)
	}
	for _, dir := range a.Dirs {
		if len(dir.Topics) != 1 || len(dir.Topics[0].Partitions) != 2 {
			t.Fatalf("%+v", dir)
		}
		for _, part := range dir.Topics[0].Partitions {
			onDisk, _ := segmentBytes(t, dir.Dir, s, int(part.Partition))
			if expected := sizes[fmt.Sprint(part.Partition)]; part.Size != expected || onDisk != expected {
				t.Errorf("partition %d has %d bytes, %d in %s, want %d", part.Partition, part.Size, onDisk, dir.Dir, expected)
			}
			delete(sizes, fmt.Sprint(part.Partition))
		}
	}
	if len(sizes) != 0 {
		t.Errorf("not found: %v", sizes)
	}
	if _, ok := advertised(p)[int16(kmsg.AlterReplicaLogDirs)]; ok {
		t.Error("AlterReplicaLogDirs is advertised, and no partition moves")
	}
}
