package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/sdk"
)

// AlterConfigs replaces all settings of topics and brokers.
//
//	v2 flexible
//
// Differs from Kafka: nothing.
func alterConfigs(c *call, q *kmsg.AlterConfigsRequest, a *kmsg.AlterConfigsResponse) {
	each := func(answer cluster.AlteredConfig, code int16, message *string) {
		r := kmsg.NewAlterConfigsResponseResource()
		r.ResourceType, r.ResourceName, r.ErrorCode, r.ErrorMessage = answer.Type, answer.Name, code, message
		a.Resources = append(a.Resources, r)
	}
	q.Resources = slices.DeleteFunc(q.Resources, func(r kmsg.AlterConfigsRequestResource) bool {
		return c.refuseConfigs(r.ResourceType, r.ResourceName, each)
	})
	c.changeConfigs(q.ValidateOnly, func(image *cluster.Image, rules cluster.ConfigRules) ([]cluster.Record, []cluster.AlteredConfig) {
		return cluster.AlterConfigs(image, q.Resources, rules)
	}, each, a)
}

// refuseConfigs answers for a resource whose settings whoever asks may not alter. It reports
// whether that is so.
func (c *call) refuseConfigs(kind kmsg.ConfigResourceType, name string, each func(cluster.AlteredConfig, int16, *string)) bool {
	denied := c.deniedConfigs(sdk.OperationAlterConfigs, kind, name)
	if denied != nil {
		each(cluster.AlteredConfig{Type: kind, Name: name}, denied.Code.Code, told(denied.Message))
	}
	return denied != nil
}

// changeConfigs decides and answers both forms of the request: each is called once for
// every resource, then a is sent.
func (c *call) changeConfigs(validateOnly bool, decide func(*cluster.Image, cluster.ConfigRules) ([]cluster.Record, []cluster.AlteredConfig),
	each func(answer cluster.AlteredConfig, code int16, message *string), a kmsg.Response) {
	var answers []cluster.AlteredConfig
	c.server.Controller.Change(func(image *cluster.Image) (records []cluster.Record, _ error) {
		records, answers = decide(image, c.server.configRules())
		if validateOnly {
			records = nil
		}
		return records, nil
	}, func(_ *cluster.Image, err error) {
		for _, answer := range answers {
			switch {
			case answer.Refusal != nil:
				each(answer, answer.Refusal.Code.Code, told(answer.Refusal.Message))
			case err != nil:
				each(answer, code(err), told(err.Error()))
			default:
				each(answer, 0, nil)
			}
		}
		c.reply(a)
	})
}
