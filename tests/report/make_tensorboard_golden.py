#!/usr/bin/env python3
"""Writes tensorboard_golden.tfevents: events as the TensorBoard library itself writes them.

    pip install tensorboard
    python3 tests/report/make_tensorboard_golden.py      # the test that reads the file needs neither

tensorboard_event_test.cc makes the same events, and compares bytes.
"""
import os

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tensorboard_golden.tfevents")
START = 1700000000.125


def scalars(values):
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in values])


def text(tag, markdown):
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)]),
        string_val=[markdown.encode()])
    metadata = summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text"))
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=metadata)])


def events():
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    yield event_pb2.Event(wall_time=START, file_version="brain.Event:2")
    yield event_pb2.Event(wall_time=START, step=1, session_log=start)
    first = [("loss/train", 5.545177444479562), ("learning_rate", 0.0), ("gradient_norm", -1e-42)]
    yield event_pb2.Event(wall_time=START + 1, step=1, summary=scalars(first))
    odd = [("loss/train", float("inf")), ("loss/validation", 1e35), ("tokens_per_second", 123456789.0)]
    yield event_pb2.Event(wall_time=START + 2, step=3000000000, summary=scalars(odd))
    yield event_pb2.Event(wall_time=START + 3, summary=text("settings", "| a | b |\n|---|---|\n"))
    yield event_pb2.Event(wall_time=START + 4, step=200, summary=text("sample", "    na\u00efve \U0001f600\n    " + 300 * "x"))


if __name__ == "__main__":
    with open(PATH, "wb") as file:
        writer = RecordWriter(file)
        for event in events():
            writer.write(event.SerializeToString())
        writer.flush()
    print("wrote", PATH)
