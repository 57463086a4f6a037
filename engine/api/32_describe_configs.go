package api

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/sdk"
)

// DescribeConfigs tells settings, where they were given and what else would count.
//
//	v1 synonyms and sources · v3 types and documentation · v4 flexible
//
// Differs from Kafka: broker loggers and client metrics have no settings here; groups have
// those that mean something to consumer groups. An answer is bounded by mostDescribed.
func describeConfigs(c *call, q *kmsg.DescribeConfigsRequest, a *kmsg.DescribeConfigsResponse) {
	image := c.server.Controller.Image()
	size := 0
	for i := range q.Resources {
		asked := &q.Resources[i]
		r := kmsg.NewDescribeConfigsResponseResource()
		r.ResourceType, r.ResourceName, r.ErrorMessage = asked.ResourceType, asked.ResourceName, kmsg.StringPtr("") // as Kafka has it
		if len(asked.ConfigNames) == 0 {
			asked.ConfigNames = nil // none are all
		}
		var entries []config.Entry
		refused := c.deniedConfigs(sdk.OperationDescribeConfigs, asked.ResourceType, asked.ResourceName)
		switch {
		case refused != nil:
		case size > mostDescribed:
			refused = &cluster.Refusal{Code: kerr.InvalidRequest, Message: tooMuchDescribed}
		default:
			entries, refused = c.server.describe(image, asked)
		}
		if refused != nil {
			r.ErrorCode, r.ErrorMessage = refused.Code.Code, kmsg.StringPtr(refused.Message)
		}
		for _, e := range entries {
			one := describedConfig(e, q)
			size += sizeOfConfig(&one)
			r.Configs = append(r.Configs, one)
		}
		a.Resources = append(a.Resources, r)
	}
	c.reply(a)
}

// mostDescribed is about how many bytes of settings one answer has at most: a resource may be named again and
// again, and its settings have thousands of times as many bytes as its name. Ten thousand topics take 12 MiB, and with
// synonyms and documentation as much as there may be.
const mostDescribed = 64 << 20

const tooMuchDescribed = "The answer is too large with the resources before this one: ask for fewer in one request"

// sizeOfConfig is about how many bytes one setting takes in an answer.
func sizeOfConfig(one *kmsg.DescribeConfigsResponseResourceConfig) int {
	size := 16 + len(one.Name) + lenOf(one.Value) + lenOf(one.Documentation)
	for i := range one.ConfigSynonyms {
		size += 4 + len(one.ConfigSynonyms[i].Name) + lenOf(one.ConfigSynonyms[i].Value)
	}
	return size
}

func lenOf(s *string) int {
	if s == nil {
		return 0
	}
	return len(*s)
}

func (s *Server) describe(image *cluster.Image, q *kmsg.DescribeConfigsRequestResource) ([]config.Entry, *cluster.Refusal) {
	values := s.Values()
	switch q.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if refused := cluster.CheckName(q.ResourceName); refused != nil {
			return nil, refused
		}
		topic := image.Topic(q.ResourceName)
		if topic == nil {
			return nil, &cluster.Refusal{Code: kerr.UnknownTopicOrPartition}
		}
		return config.DescribeTopic(values.Topic(topic.Configs), q.ConfigNames), nil
	case kmsg.ConfigResourceTypeBroker:
		if q.ResourceName == "" {
			return config.DescribeDefaults(values, q.ConfigNames), nil
		}
		id, err := strconv.ParseInt(q.ResourceName, 10, 32)
		if err != nil {
			return nil, &cluster.Refusal{Code: kerr.InvalidRequest, Message: "Broker id must be an integer, but it is: " + q.ResourceName}
		}
		if int32(id) != s.NodeID {
			return nil, &cluster.Refusal{Code: kerr.InvalidRequest, Message: "Unexpected broker id, expected " +
				strconv.Itoa(int(s.NodeID)) + " or empty string, but received " + q.ResourceName}
		}
		return config.DescribeBroker(values, q.ConfigNames), nil
	}
	if q.ResourceType == kmsg.ConfigResourceTypeGroupConfig {
		if q.ResourceName == "" {
			return nil, &cluster.Refusal{Code: kerr.InvalidRequest, Message: "Group name must not be empty"}
		}
		return config.DescribeGroup(values, image.GroupConfigs(q.ResourceName), q.ConfigNames), nil
	}
	if q.ResourceType == kmsg.ConfigResourceTypeBrokerLogger || q.ResourceType == kmsg.ConfigResourceTypeClientMetrics {
		return nil, &cluster.Refusal{Code: kerr.InvalidRequest, Message: "Unsupported resource type: " + strconv.Itoa(int(q.ResourceType))} // Kafka has them
	}
	return nil, &cluster.Refusal{Code: kerr.InvalidRequest, Message: unknownKind}
}

// unknownKind is what Kafka says of resources of a kind that it does not know.
const unknownKind = "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details."

func describedConfig(e config.Entry, q *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	out.Name, out.Value, out.ReadOnly, out.IsSensitive = e.Name, e.Value, e.ReadOnly, e.Sensitive
	out.Source, out.IsDefault = kmsg.ConfigSource(e.Source), kmsg.ConfigSource(e.Source) == kmsg.ConfigSourceDefaultConfig
	out.ConfigType = kmsg.ConfigType(e.Type)
	if q.IncludeSynonyms {
		for _, s := range e.Synonyms {
			synonym := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			synonym.Name, synonym.Value, synonym.Source = s.Name, s.Value, kmsg.ConfigSource(s.Source)
			out.ConfigSynonyms = append(out.ConfigSynonyms, synonym)
		}
	}
	if q.IncludeDocumentation {
		out.Documentation = told(e.Doc)
	}
	return out
}
