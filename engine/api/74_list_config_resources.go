package api

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
)

// The kinds of resources that may be asked for, of which some have nothing here.
var resourceKinds = []kmsg.ConfigResourceType{
	kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger,
	kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig,
}

// ListConfigResources tells what there is that has settings (KIP-1142): every topic and
// broker, and the groups that were given some.
//
//	v0 client metrics only · v1 kinds
//
// Differs from Kafka: broker loggers are not listed, for they have no settings here.
func listConfigResources(c *call, q *kmsg.ListConfigResourcesRequest, a *kmsg.ListConfigResourcesResponse) {
	kinds := make([]kmsg.ConfigResourceType, 0, len(q.ResourceTypes))
	for _, kind := range q.ResourceTypes {
		kinds = append(kinds, kmsg.ConfigResourceType(kind))
	}
	switch {
	case c.version == 0:
		kinds = []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeClientMetrics}
	case len(kinds) == 0:
		kinds = resourceKinds
	}
	image := c.server.Controller.Image()
	for i, kind := range kinds {
		if !slices.Contains(resourceKinds, kind) {
			a.ErrorCode, a.ConfigResources = kerr.UnsupportedVersion.Code, nil
			break
		}
		if slices.Contains(kinds[:i], kind) {
			continue
		}
		for _, name := range resourcesOf(image, kind) {
			r := kmsg.NewListConfigResourcesResponseConfigResource()
			r.Name, r.Type = name, int8(kind)
			a.ConfigResources = append(a.ConfigResources, r)
		}
	}
	c.reply(a)
}

func resourcesOf(image *cluster.Image, kind kmsg.ConfigResourceType) (names []string) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		for _, t := range image.Topics() {
			names = append(names, t.Name)
		}
	case kmsg.ConfigResourceTypeBroker:
		for _, b := range image.Brokers() {
			names = append(names, strconv.Itoa(int(b.ID)))
		}
	case kmsg.ConfigResourceTypeGroupConfig:
		names = image.GroupsWithConfigs()
	}
	return names
}
