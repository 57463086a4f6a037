package api

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/sdk"
)

// The kinds of resources that may be asked for, of which some have nothing here.
var resourceKinds = []kmsg.ConfigResourceType{
	kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger,
	kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig,
}

// ListConfigResources tells what there is that has settings (KIP-1142): every topic and
// broker, and the groups that were given some.
//
//	v0 client metrics only, of which there are none · v1 kinds
//
// Differs from Kafka: broker loggers are not listed, for they have no settings here.
func listConfigResources(c *call, q *kmsg.ListConfigResourcesRequest, a *kmsg.ListConfigResourcesResponse) {
	if !c.onCluster(sdk.OperationDescribeConfigs) {
		a.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		c.reply(a)
		return
	}
	image := c.server.Controller.Image()
	all := c.version >= 1 && len(q.ResourceTypes) == 0
	asked := map[kmsg.ConfigResourceType]bool{}
	for _, kind := range q.ResourceTypes {
		asked[kmsg.ConfigResourceType(kind)] = true
	}
	for _, kind := range resourceKinds {
		if !all && !asked[kind] {
			continue
		}
		delete(asked, kind)
		for _, name := range resourcesOf(image, kind) {
			r := kmsg.NewListConfigResourcesResponseConfigResource()
			r.Name, r.Type = name, int8(kind)
			a.ConfigResources = append(a.ConfigResources, r)
		}
	}
	if len(asked) > 0 { // for kinds that nobody knows
		a.ErrorCode, a.ConfigResources = kerr.UnsupportedVersion.Code, nil
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
