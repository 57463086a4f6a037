package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/sdk"
)

// CreatePartitions adds partitions to topics (KIP-195).
//
//	v2 flexible · v3 controller mutation quotas
//
// Differs from Kafka: nothing.
func createPartitions(c *call, q *kmsg.CreatePartitionsRequest, a *kmsg.CreatePartitionsResponse) {
	q.Topics = slices.DeleteFunc(q.Topics, func(t kmsg.CreatePartitionsRequestTopic) bool {
		if c.allowed(sdk.OperationAlter, sdk.ResourceTopic, t.Topic) {
			return false
		}
		refused := kmsg.NewCreatePartitionsResponseTopic()
		refused.Topic, refused.ErrorCode = t.Topic, topicDenied.Code.Code
		a.Topics = append(a.Topics, refused)
		return true
	})
	var answers []cluster.NewPartitions
	for _, name := range once(len(q.Topics), func(i int) string { return q.Topics[i].Topic }) {
		answers = append(answers, cluster.NewPartitions{Name: name}) // the controller may refuse without a decision
	}
	c.server.Controller.Change(func(image *cluster.Image) (records []cluster.Record, _ error) {
		records, answers = cluster.CreatePartitions(image, q.Topics, c.server.stopped)
		if q.ValidateOnly {
			records = nil
		}
		return records, nil
	}, func(_ *cluster.Image, err error) {
		for _, answer := range answers {
			t := kmsg.NewCreatePartitionsResponseTopic()
			t.Topic = answer.Name
			if answer.Refusal != nil {
				t.ErrorCode, t.ErrorMessage = answer.Refusal.Code.Code, told(answer.Refusal.Message)
			} else if err != nil {
				t.ErrorCode, t.ErrorMessage = code(err), told(err.Error())
			}
			a.Topics = append(a.Topics, t)
		}
		c.reply(a)
	})
}
