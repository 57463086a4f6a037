"""Proves who it is to a broker with librdkafka, produces a few records and reads them back. It exits with 3 when the
broker does not let it in."""

import os
import sys
import time

from confluent_kafka import Consumer, KafkaError, Producer

REFUSED = 3
refusals = []


def failed(error):
    if error.code() == KafkaError._AUTHENTICATION:
        refusals.append(error)


settings = {
    "bootstrap.servers": os.environ["COMPAT_BOOTSTRAP"], "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": os.environ["COMPAT_MECHANISM"], "sasl.username": os.environ["COMPAT_USER"],
    "sasl.password": os.environ["COMPAT_PASSWORD"], "error_cb": failed, "log_level": 0,
}
topic = os.environ["COMPAT_TOPIC"]
producer = Producer(settings)
for n in range(10):
    producer.produce(topic, value=str(n))
end = time.monotonic() + 30
while len(producer) and not refusals and time.monotonic() < end:
    producer.flush(0.1)
if refusals:
    print(refusals[0].str())
    sys.exit(REFUSED)
if len(producer):
    sys.exit("records were not acknowledged")
consumer = Consumer({**settings, "group.id": topic, "auto.offset.reset": "earliest"})
consumer.subscribe([topic])
got = []
while len(got) < 10 and time.monotonic() < end:
    message = consumer.poll(0.5)
    if message and not message.error():
        got.append(message.value().decode())
consumer.close()
if got != [str(n) for n in range(10)]:
    sys.exit(f"read {got}")
