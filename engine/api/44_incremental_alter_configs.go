package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/sdk/setting"
)

// IncrementalAlterConfigs changes single settings (KIP-339).
//
//	v1 flexible
//
// Differs from Kafka: items of a list are compared without the spaces around them, and a list of interceptors that SUBTRACT
// empties is unset where the cluster has none, so that a later one of the cluster counts.
func incrementalAlterConfigs(c *call, q *kmsg.IncrementalAlterConfigsRequest, a *kmsg.IncrementalAlterConfigsResponse) {
	each := func(answer cluster.AlteredConfig, code int16, message *string) {
		r := kmsg.NewIncrementalAlterConfigsResponseResource()
		r.ResourceType, r.ResourceName, r.ErrorCode, r.ErrorMessage = answer.Type, answer.Name, code, message
		a.Resources = append(a.Resources, r)
	}
	q.Resources = slices.DeleteFunc(q.Resources, func(r kmsg.IncrementalAlterConfigsRequestResource) bool {
		return c.refuseConfigs(r.ResourceType, r.ResourceName, each)
	})
	asked := make([]cluster.AlteredConfig, 0, len(q.Resources))
	for i := range q.Resources {
		asked = append(asked, cluster.AlteredConfig{Type: q.Resources[i].ResourceType, Name: q.Resources[i].ResourceName})
	}
	c.changeConfigs(asked, q.ValidateOnly, func(image *cluster.Image, rules cluster.ConfigRules) ([]cluster.Record, []cluster.AlteredConfig) {
		return cluster.IncrementalAlterConfigs(image, q.Resources, rules)
	}, each, a)
}

// configRules are what the declarations say of a setting that is about to change.
func (s *Server) configRules() cluster.ConfigRules {
	values := s.Values()
	return cluster.ConfigRules{
		Node: s.NodeID,
		Check: func(kind cluster.ConfigKind, name string, value *string) error {
			change := []config.Change{{Name: name, Op: config.Set, Value: value}}
			switch kind {
			case cluster.TopicConfig:
				_, err := config.ChangeTopic(values, nil, change)
				return err
			case cluster.GroupConfig:
				return config.CheckGroup(values, name, *value)
			}
			_, err := config.ChangeBroker(values, nil, false, change)
			return err
		},
		List: func(kind cluster.ConfigKind, name string) (bool, string) {
			d := config.Settings.Lookup(name)
			switch kind {
			case cluster.TopicConfig:
				d = config.Settings.LookupTopic(name)
			case cluster.GroupConfig:
				return false, "" // none of them is a list
			}
			if d == nil || d.Type != setting.TypeList {
				return false, ""
			}
			text, _ := values.Text(d)
			return true, text
		},
		Forget: func(kind cluster.ConfigKind, name string) bool {
			return kind == cluster.TopicConfig && config.ListsPlugins(name)
		},
	}
}
