package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/sdk"
)

// DeleteTopics deletes topics by name or, from version 6 on, by id (KIP-516).
//
//	v4 flexible · v5 error messages · v6 topic ids
//
// Differs from Kafka: nothing.
func deleteTopics(c *call, q *kmsg.DeleteTopicsRequest, a *kmsg.DeleteTopicsResponse) {
	var refs []cluster.TopicRef
	for _, name := range q.TopicNames {
		refs = append(refs, cluster.TopicRef{Name: &name})
	}
	for _, t := range q.Topics {
		refs = append(refs, cluster.TopicRef{Name: t.Topic, ID: t.TopicID})
	}
	var answers, denied []cluster.DeletedTopic
	decided := false // the controller may refuse without a decision
	ask := c.asker()
	enabled := config.DeleteTopics.Of(c.server.Values())
	c.server.Controller.Change(func(image *cluster.Image) (records []cluster.Record, _ error) {
		var permitted []cluster.TopicRef
		permitted, denied = ask.deletable(image, refs)
		records, answers = cluster.DeleteTopics(image, permitted)
		decided = true
		if !enabled {
			return nil, nil
		}
		return records, nil
	}, func(_ *cluster.Image, err error) {
		if !decided {
			var permitted []cluster.TopicRef
			permitted, denied = ask.deletable(c.server.Controller.Image(), refs)
			answers = undeleted(permitted)
		}
		for _, answer := range append(answers, denied...) {
			t := kmsg.NewDeleteTopicsResponseTopic()
			t.Topic, t.TopicID = answer.Name, answer.ID
			switch {
			case answer.Refusal == topicDenied:
				t.ErrorCode, t.ErrorMessage = topicDenied.Wire()
			case !enabled && c.version < 3:
				t.ErrorCode = kerr.InvalidRequest.Code
			case !enabled:
				t.ErrorCode, t.ErrorMessage = kerr.TopicDeletionDisabled.Code, told("Topic deletion is disabled.")
			case answer.Refusal != nil:
				t.ErrorCode, t.ErrorMessage = answer.Refusal.Code.Code, told(answer.Refusal.Message)
			case err != nil:
				t.ErrorCode, t.ErrorMessage = code(err), told(err.Error())
			case answer.Name != nil:
				c.server.farewells.say(*answer.Name)
			}
			a.Topics = append(a.Topics, t)
		}
		c.reply(a)
	})
}

// undeleted are the topics of which nobody has decided anything, each once.
func undeleted(refs []cluster.TopicRef) (all []cluster.DeletedTopic) {
	type topic struct {
		named bool
		name  string
		id    cluster.ID
	}
	for _, t := range once(len(refs), func(i int) topic {
		if refs[i].Name == nil {
			return topic{id: refs[i].ID}
		}
		return topic{true, *refs[i].Name, refs[i].ID}
	}) {
		one := cluster.DeletedTopic{ID: t.id}
		if t.named {
			one.Name = &t.name
		}
		all = append(all, one)
	}
	return all
}

// deletable are the topics that whoever asks may delete, and answers for the others. Who may
// not describe a topic is not told whether it exists, nor what the one of an id is called.
func (a *asker) deletable(image *cluster.Image, refs []cluster.TopicRef) (permitted []cluster.TopicRef, denied []cluster.DeletedTopic) {
	if a.sees(sdk.OperationDelete, sdk.ResourceCluster, sdk.ClusterName) {
		return refs, nil
	}
	for _, ref := range refs {
		name, byID := ref.Name, ref.Name == nil
		if t := image.TopicByID(ref.ID); byID && t != nil {
			name = &t.Name
		}
		if name == nil { // nobody knows of which topic that is the id
			permitted = append(permitted, ref)
			continue
		}
		seen := a.sees(sdk.OperationDescribe, sdk.ResourceTopic, *name)
		switch {
		case seen && !byID && image.Topic(*name) == nil, (seen || byID) && a.allowed(sdk.OperationDelete, sdk.ResourceTopic, *name):
			permitted = append(permitted, ref)
		case byID && !seen:
			denied = append(denied, cluster.DeletedTopic{ID: ref.ID, Refusal: topicDenied})
		default:
			denied = append(denied, cluster.DeletedTopic{Name: name, ID: ref.ID, Refusal: topicDenied})
		}
	}
	return permitted, denied
}
