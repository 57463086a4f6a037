package cluster

import "github.com/twmb/franz-go/pkg/kerr"

// TopicRef names a topic by its name or, from version 6 of DeleteTopics on, by its id.
type TopicRef struct {
	Name *string
	ID   ID
}

// DeletedTopic is the answer for one topic. Name is nil, or ID zero, when it is not known.
type DeletedTopic struct {
	Name    *string
	ID      ID
	Refusal *Refusal
}

// DeleteTopics decides which topics of a request are deleted. There is one answer for each
// topic that the request names, in the order in which they first appear. Internal topics
// may be deleted, as in Kafka; whether any topic may is the caller's to check.
func DeleteTopics(i *Image, refs []TopicRef) ([]Record, []DeletedTopic) {
	d := deletion{image: i, names: make(map[string]int), ids: make(map[ID]int)}
	for _, ref := range refs {
		switch {
		case ref.Name != nil && ref.ID.Zero():
			d.names[*ref.Name]++
		case ref.Name == nil && !ref.ID.Zero():
			d.ids[ref.ID]++
		}
	}
	for _, ref := range refs {
		switch {
		case ref.Name == nil && ref.ID.Zero():
			d.refuse(ref, kerr.InvalidRequest, "Neither topic name nor id were specified.")
		case ref.Name != nil && !ref.ID.Zero():
			d.refuse(ref, kerr.InvalidRequest, "You may not specify both topic name and topic id.")
		case ref.Name != nil && d.names[*ref.Name] > 0:
			d.byName(ref, d.names[*ref.Name])
			d.names[*ref.Name] *= -1 // answered; the count is still known
		case ref.Name == nil && d.ids[ref.ID] > 0:
			d.byID(ref, d.ids[ref.ID])
			d.ids[ref.ID] *= -1
		}
	}
	return d.records, d.answers
}

// deletion is one request being decided. Counts are how often the request names a topic,
// negative once it was answered.
type deletion struct {
	image   *Image
	names   map[string]int
	ids     map[ID]int
	records []Record
	answers []DeletedTopic
}

func (d *deletion) refuse(ref TopicRef, code *kerr.Error, message string) {
	d.answers = append(d.answers, DeletedTopic{Name: ref.Name, ID: ref.ID, Refusal: &Refusal{Code: code, Message: message}})
}

func (d *deletion) remove(topic *Topic) {
	d.records = append(d.records, &RemoveTopicRecord{ID: topic.ID})
	d.answers = append(d.answers, DeletedTopic{Name: &topic.Name, ID: topic.ID})
}

func (d *deletion) byName(ref TopicRef, times int) {
	topic := d.image.Topic(*ref.Name)
	switch {
	case times > 1:
		d.refuse(ref, kerr.InvalidRequest, "Duplicate topic name.")
	case topic == nil:
		d.refuse(ref, kerr.UnknownTopicOrPartition, kerr.UnknownTopicOrPartition.Description)
	case d.ids[topic.ID] != 0:
		ref.ID = topic.ID
		d.refuse(ref, kerr.InvalidRequest, "The provided topic name maps to an ID that was already supplied.")
	default:
		d.remove(topic)
	}
}

func (d *deletion) byID(ref TopicRef, times int) {
	topic := d.image.TopicByID(ref.ID)
	switch {
	case times > 1:
		d.refuse(ref, kerr.InvalidRequest, "Duplicate topic id.")
	case topic == nil:
		d.refuse(ref, kerr.UnknownTopicID, kerr.UnknownTopicID.Description)
	case d.names[topic.Name] == 1 || d.names[topic.Name] == -1:
		// The answer for its name is the answer for both: refused.
	default:
		d.remove(topic)
	}
}
