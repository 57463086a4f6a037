package api

import (
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
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
	asked := make([]cluster.AlteredConfig, 0, len(q.Resources))
	for i := range q.Resources {
		asked = append(asked, cluster.AlteredConfig{Type: q.Resources[i].ResourceType, Name: q.Resources[i].ResourceName})
	}
	c.changeConfigs(asked, q.ValidateOnly, func(image *cluster.Image, rules cluster.ConfigRules) ([]cluster.Record, []cluster.AlteredConfig) {
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
// every resource that was asked for, then a is sent. What needs plugins that are not made yet is decided again
// once they are; until then nothing is changed, and the controller serves others.
func (c *call) changeConfigs(asked []cluster.AlteredConfig, validateOnly bool, decide func(*cluster.Image, cluster.ConfigRules) ([]cluster.Record, []cluster.AlteredConfig),
	each func(answer cluster.AlteredConfig, code int16, message *string), a kmsg.Response) {
	check := &pluginCheck{ask: c.server.CheckPlugins, refused: map[string]error{}}
	var try func()
	try = func() {
		answers := asked // the controller may refuse without a decision, the second one too
		c.server.Controller.Change(func(image *cluster.Image) (records []cluster.Record, _ error) {
			rules := c.server.configRules()
			rules.Whole = func(i *cluster.Image, w *cluster.Whole) error {
				if err := c.server.fit(w.Kind, w.Settings); err != nil {
					return err
				}
				w.ValidateOnly = validateOnly
				return check.whole(i, w)
			}
			if records, answers = decide(image, rules); validateOnly || check.waits != nil {
				records = nil
			}
			return records, nil
		}, func(_ *cluster.Image, err error) {
			waits := check.waits
			if check.waits = nil; waits != nil && err == nil {
				waits.Wait(try)
				return
			}
			for _, answer := range answers {
				switch {
				case answer.Refusal != nil && waits == nil:
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
	try()
}

// fit refuses all settings that a resource will have for how they fit together.
func (s *Server) fit(kind cluster.ConfigKind, settings map[string]string) error {
	if kind == cluster.TopicConfig {
		return config.FitTopic(s.Values(), settings)
	}
	return nil
}

// Later is the error of CheckPlugins when it cannot tell yet.
type Later interface {
	error
	// Wait has then called, on another goroutine, when it is worth asking again. It must be
	// called at most once, and does not block.
	Wait(then func())
}

// pluginCheck asks CheckPlugins for one request, as often as it is decided.
//
// Ownership: of the controller's goroutine.
type pluginCheck struct {
	ask     func(i *cluster.Image, w *cluster.Whole) error
	refused map[string]error // once and for all, by resource: or two refusals could have each other made again for ever
	waits   Later            // for what the last decision would have to wait; nil: for nothing
}

func (p *pluginCheck) whole(i *cluster.Image, w *cluster.Whole) error {
	if p.ask == nil {
		return nil
	}
	resource := fmt.Sprint(w.Kind, " ", w.Name)
	if err := p.refused[resource]; err != nil {
		return err
	}
	err := p.ask(i, w)
	if later, ok := errors.AsType[Later](err); ok {
		p.waits = later
	} else if err != nil {
		p.refused[resource] = err
	}
	return err
}
