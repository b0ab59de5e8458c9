#!/usr/bin/env python3
"""scripts/convert_checkpoint.py: little checkpoints in every naming, random weights, the bytes that must come out.

Expected bytes are always the source's own: a conversion only renames, joins and reshapes, so there is no tolerance.
Writing PyTorch files needs torch; without it those tests are skipped, counted apart, and the reason is printed."""
import argparse
import contextlib
import io
import json
import os
import struct
import sys
import tempfile
import unittest
from unittest import mock

try:
    import numpy as np
except ImportError:
    print("numpy is absent (Debian: python3-numpy)")
    sys.exit(77)
try:
    import torch
except ImportError:
    torch = None
    print("test_convert_checkpoint: torch is absent (Debian: python3-torch): PyTorch files are not tested")

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scripts"))
import checkpoint_files                      # noqa: E402  (their folder is known only now)
import convert_checkpoint as converter       # noqa: E402

needs_torch = unittest.skipIf(torch is None, "torch is absent")

D, DEPTH, PATCH, SIDE, CLASSES = 128, 2, 4, 3, 7        # sizes no two of which are alike, so a transposition shows
N = SIDE * SIDE


def random_weights(shapes):
    rng = np.random.default_rng(1)
    return {name: rng.standard_normal(shape).astype("<f4") for name, shape in shapes.items()}


def vit_weights(distilled=False):
    """timm's names, in timm's order."""
    shapes = {"cls_token": (1, 1, D)}
    if distilled:
        shapes["dist_token"] = (1, 1, D)
    shapes["pos_embed"] = (1, N + 1 + distilled, D)
    shapes["patch_embed.proj.weight"] = (D, 3, PATCH, PATCH)
    shapes["patch_embed.proj.bias"] = (D,)
    for i in range(DEPTH):
        for name, rows, *columns in (("norm1", D), ("attn.qkv", 3 * D, D), ("attn.proj", D, D), ("norm2", D),
                                     ("mlp.fc1", 4 * D, D), ("mlp.fc2", D, 4 * D)):
            shapes["blocks.%d.%s.weight" % (i, name)] = (rows, *columns)
            shapes["blocks.%d.%s.bias" % (i, name)] = (rows,)
    for name, rows, *columns in ((("norm", D), ("head", CLASSES, D)) + ((("head_dist", CLASSES, D),) if distilled else ())):
        shapes[name + ".weight"] = (rows, *columns)
        shapes[name + ".bias"] = (rows,)
    return random_weights(shapes)


VIT_CONFIG = {"model": "vit", "img_size": SIDE * PATCH, "patch_size": PATCH, "in_chans": 3, "embed_dim": D, "depth": DEPTH,
              "num_heads": 2, "mlp_ratio": 4, "num_classes": CLASSES, "distilled": False}


def hugging_face(weights, prefix, with_teacher):
    """The same weights under transformers' names, written out one by one rather than by the converter's table."""
    named = {prefix + "embeddings.cls_token": weights["cls_token"]}
    if "dist_token" in weights:
        named[prefix + "embeddings.distillation_token"] = weights["dist_token"]
    named[prefix + "embeddings.position_embeddings"] = weights["pos_embed"]
    for part in ("weight", "bias"):
        named[prefix + "embeddings.patch_embeddings.projection." + part] = weights["patch_embed.proj." + part]
        for i in range(DEPTH):
            layer, block = "%sencoder.layer.%d." % (prefix, i), "blocks.%d." % i
            qkv = weights[block + "attn.qkv." + part]
            named[layer + "attention.attention.query." + part] = qkv[:D]
            named[layer + "attention.attention.key." + part] = qkv[D:2 * D]
            named[layer + "attention.attention.value." + part] = qkv[2 * D:]
            named[layer + "attention.output.dense." + part] = weights[block + "attn.proj." + part]
            named[layer + "intermediate.dense." + part] = weights[block + "mlp.fc1." + part]
            named[layer + "output.dense." + part] = weights[block + "mlp.fc2." + part]
            named[layer + "layernorm_before." + part] = weights[block + "norm1." + part]
            named[layer + "layernorm_after." + part] = weights[block + "norm2." + part]
        named[prefix + "layernorm." + part] = weights["norm." + part]
        named[("cls_classifier." if with_teacher else "classifier.") + part] = weights["head." + part]
        if with_teacher:
            named["distillation_classifier." + part] = weights["head_dist." + part]
    return named


def dynamic_vit_weights():
    shapes = {}
    for k in range(2):
        for name, rows, *columns in (("in_conv.0", D), ("in_conv.1", D, D), ("out_conv.0", D // 2, D),
                                     ("out_conv.2", D // 4, D // 2), ("out_conv.4", 2, D // 4)):
            shapes["score_predictor.%d.%s.weight" % (k, name)] = (rows, *columns)
            shapes["score_predictor.%d.%s.bias" % (k, name)] = (rows,)
    return {**vit_weights(), **random_weights(shapes)}


TINY_CONFIG = {"model": "tiny_vit", "img_size": 96, "in_chans": 3, "embed_dims": [32, 48, 80], "depths": [1, 1, 2],
               "num_heads": [1, 3, 5], "window_sizes": [2, 2, 3], "mlp_ratio": 2, "mbconv_expand_ratio": 3, "num_classes": CLASSES}


def tiny_vit_weights(official):
    """A three-stage TinyViT under timm's names or under the official ones; the draws are the same in both."""
    widths, depths, heads, windows = (TINY_CONFIG[k] for k in ("embed_dims", "depths", "num_heads", "window_sizes"))
    shapes = {}

    def conv_bn(timm_name, official_name, *shape):
        name = official_name if official else timm_name
        shapes[name + (".c.weight" if official else ".conv.weight")] = shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes["%s.bn.%s" % (name, part)] = shape[:1]

    conv_bn("patch_embed.conv1", "patch_embed.seq.0", widths[0] // 2, 3, 3, 3)
    conv_bn("patch_embed.conv2", "patch_embed.seq.2", widths[0], widths[0] // 2, 3, 3)
    for part, shape in (("conv1", (96, 32, 1, 1)), ("conv2", (96, 1, 3, 3)), ("conv3", (32, 96, 1, 1))):
        conv_bn("stages.0.blocks.0." + part, "layers.0.blocks.0." + part, *shape)
    for s in (1, 2):
        for part, shape in (("conv1", (widths[s], widths[s - 1], 1, 1)), ("conv2", (widths[s], 1, 3, 3)),
                            ("conv3", (widths[s], widths[s], 1, 1))):
            conv_bn("stages.%d.downsample.%s" % (s, part), "layers.%d.downsample.%s" % (s - 1, part), *shape)
        for b in range(depths[s]):
            block = "%s.%d.blocks.%d." % ("layers" if official else "stages", s, b)
            shapes[block + "attn.attention_biases"] = (heads[s], windows[s] ** 2)
            for name, rows, *columns in (("attn.norm", widths[s]), ("attn.qkv", 3 * widths[s], widths[s]),
                                         ("attn.proj", widths[s], widths[s]), ("mlp.norm", widths[s]),
                                         ("mlp.fc1", 2 * widths[s], widths[s]), ("mlp.fc2", widths[s], 2 * widths[s])):
                shapes[block + name + ".weight"] = (rows, *columns)
                shapes[block + name + ".bias"] = (rows,)
            conv_bn(block + "local_conv", block + "local_conv", widths[s], 1, 3, 3)
    for timm_name, official_name, *shape in (("head.norm", "norm_head", widths[-1]), ("head.fc", "head", CLASSES, widths[-1])):
        shapes[(official_name if official else timm_name) + ".weight"] = shape
        shapes[(official_name if official else timm_name) + ".bias"] = shape[:1]
    return random_weights(shapes)


CODES = {"<f4": "F32", "<f2": "F16", "<f8": "F64", "<i8": "I64"}


def write_flat(path, weights, codes=None):
    """A safetensors file, written here so that the converter's own writer is not its oracle."""
    header, blobs, offset = {}, [], 0
    for name, array in weights.items():
        code = (codes or {}).get(name, CODES.get(array.dtype.str))
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        blobs.append(array.tobytes())
        offset += array.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read_flat(path):
    """{name: (type, shape, bytes)} of a safetensors file."""
    with open(path, "rb") as f:
        content = f.read()
    (n,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + n])
    header.pop("__metadata__", None)
    return {name: (e["dtype"], tuple(e["shape"]), content[8 + n + e["data_offsets"][0]:8 + n + e["data_offsets"][1]])
            for name, e in header.items()}


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.source, self.output, self.config = (os.path.join(self.folder, n) for n in ("in", "out.safetensors", "model.json"))

    def run_converter(self, *options):
        """(exit status, stdout, stderr)"""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = converter.main([self.source, self.output, *options])
            except SystemExit as stop:
                status = stop.code
        return status, out.getvalue(), err.getvalue()

    def converts_to(self, expected, *options):
        status, _, err = self.run_converter(*options)
        self.assertEqual(status, 0, err)
        written = read_flat(self.output)
        self.assertEqual(set(written), set(expected))
        for name, array in expected.items():
            self.assertEqual(written[name], ("F32", array.shape, array.astype("<f4").tobytes()), name)
        return err

    def refuses(self, *words, options=(), status=1):
        """Fails with one line of error that holds every word, and leaves nothing behind."""
        got, out, err = self.run_converter(*options)
        self.assertEqual(got, status, err)
        self.assertEqual(out, "")
        lines = [line for line in err.splitlines() if not line.startswith(("usage:", " "))]
        self.assertEqual(len(lines), 1, err)
        for word in words:
            self.assertIn(word, lines[0])
        self.assertEqual([n for n in os.listdir(self.folder) if n != "in"], [])


class SafetensorsInput(Case):
    def test_timm_vit_passes_through_byte_for_byte(self):
        write_flat(self.source, vit_weights())
        self.converts_to(vit_weights())

    def test_timm_distilled_deit_passes_through_byte_for_byte(self):
        write_flat(self.source, vit_weights(True))
        self.converts_to(vit_weights(True))

    def test_output_is_in_network_order_whatever_the_input_order(self):
        write_flat(self.source, dict(reversed(vit_weights().items())))
        self.converts_to(vit_weights())
        self.assertEqual(list(read_flat(self.output)), list(vit_weights()))

    def test_converting_the_output_again_changes_nothing(self):
        write_flat(self.source, hugging_face(vit_weights(), "vit.", False))
        self.converts_to(vit_weights())
        with open(self.output, "rb") as f:
            first = f.read()
        os.replace(self.output, self.source)
        self.converts_to(vit_weights())
        with open(self.output, "rb") as f:
            self.assertEqual(f.read(), first)

    def test_data_of_the_output_starts_at_a_multiple_of_eight(self):
        write_flat(self.source, vit_weights())
        self.converts_to(vit_weights())
        with open(self.output, "rb") as f:
            self.assertEqual(struct.unpack("<Q", f.read(8))[0] % 8, 0)

    def test_hugging_face_vit_is_renamed_and_qkv_joined(self):
        write_flat(self.source, hugging_face(vit_weights(), "vit.", False))
        self.assertIn("epsilon", self.converts_to(vit_weights()))

    def test_hugging_face_plain_deit_is_renamed(self):
        write_flat(self.source, hugging_face(vit_weights(), "deit.", False))
        self.converts_to(vit_weights())

    def test_hugging_face_distilled_deit_keeps_both_heads_apart(self):
        write_flat(self.source, hugging_face(vit_weights(True), "deit.", True))
        self.converts_to(vit_weights(True))

    def test_hugging_face_pooler_is_left_out_and_said(self):
        source = hugging_face(vit_weights(), "vit.", False)
        source["vit.pooler.dense.weight"] = np.ones((D, D), "<f4")
        write_flat(self.source, source)
        self.assertIn("left out 1 x pooler.*", self.converts_to(vit_weights()))

    def test_hugging_face_key_projection_missing_is_named(self):
        source = hugging_face(vit_weights(), "vit.", False)
        del source["vit.encoder.layer.1.attention.attention.key.bias"]
        write_flat(self.source, source)
        self.refuses("lacks blocks.1.attn.key.bias")

    def test_hugging_face_distillation_token_with_one_classifier_is_refused(self):
        source = hugging_face(vit_weights(True), "deit.", True)
        source = {n.replace("cls_classifier", "classifier"): v for n, v in source.items() if "distillation_cl" not in n}
        write_flat(self.source, source)
        self.refuses("no distillation classifier")

    def test_dynamic_vit_passes_through_byte_for_byte(self):
        write_flat(self.source, dynamic_vit_weights())
        self.converts_to(dynamic_vit_weights())

    def test_both_tiny_vit_namings_give_the_same_file(self):
        write_flat(self.source, tiny_vit_weights(False))
        self.converts_to(tiny_vit_weights(False))
        timm_file = read_flat(self.output)
        write_flat(self.source, tiny_vit_weights(True))
        self.converts_to(tiny_vit_weights(False))
        self.assertEqual(list(read_flat(self.output)), list(timm_file))

    def test_counters_and_bias_indices_are_left_out_and_said(self):
        source = tiny_vit_weights(True)
        source["patch_embed.seq.0.bn.num_batches_tracked"] = np.array(7, "<i8")
        source["layers.1.blocks.0.attn.attention_bias_idxs"] = np.zeros((4, 4), "<i8")
        write_flat(self.source, source)
        notes = self.converts_to(tiny_vit_weights(False))
        self.assertIn("left out 1 x num_batches_tracked", notes)
        self.assertIn("left out 1 x attention_bias_idxs", notes)

    def test_pre_logits_are_left_out_and_said(self):
        source = vit_weights()
        source["pre_logits.fc.weight"], source["pre_logits.fc.bias"] = np.ones((D, D), "<f4"), np.ones(D, "<f4")
        write_flat(self.source, source)
        self.assertIn("left out 2 x pre_logits.*", self.converts_to(vit_weights()))

    def test_old_patch_embedding_of_two_dimensions_is_reshaped(self):
        source = vit_weights()
        source["patch_embed.proj.weight"] = source["patch_embed.proj.weight"].reshape(D, 3 * PATCH * PATCH)
        write_flat(self.source, source)
        self.converts_to(vit_weights())

    def test_half_and_bfloat_and_double_become_float(self):
        exact = {n: np.round(v * 8) / 8 for n, v in vit_weights().items()}         # a few bits: exact in every type
        halves = {n: v.astype("<f2") for n, v in exact.items()}
        doubles = {n: v.astype("<f8") for n, v in exact.items()}
        bfloats = {n: (v.view("<u4") >> 16).astype("<u2") for n, v in exact.items()}
        for source, codes in ((halves, None), (doubles, None), (bfloats, dict.fromkeys(bfloats, "BF16"))):
            write_flat(self.source, source, codes)
            self.converts_to(exact)

    def test_wrapping_prefix_is_removed_even_twice(self):
        write_flat(self.source, {"module._orig_mod." + n: v for n, v in vit_weights().items()})
        self.converts_to(vit_weights())


class Configuration(Case):
    def config_of(self, weights, *options):
        write_flat(self.source, weights)
        status, _, err = self.run_converter("--config", self.config, *options)
        self.assertEqual(status, 0, err)
        with open(self.config, encoding="utf-8") as f:
            return json.load(f)

    def test_vit_sizes_follow_from_the_shapes(self):
        self.assertEqual(self.config_of(vit_weights()), VIT_CONFIG)

    def test_distilled_is_recognised(self):
        self.assertEqual(self.config_of(vit_weights(True)), {**VIT_CONFIG, "distilled": True})

    def test_number_of_heads_can_be_given(self):
        self.assertEqual(self.config_of(vit_weights(), "--num-heads", "4"), {**VIT_CONFIG, "num_heads": 4})

    def test_number_of_heads_must_divide_the_width(self):
        write_flat(self.source, vit_weights())
        self.refuses("--num-heads 3", options=("--config", self.config, "--num-heads", "3"))

    def test_dynamic_vit_ratios_are_powers_in_double_precision(self):
        expected = {k: v for k, v in VIT_CONFIG.items() if k != "distilled"}
        expected.update(model="dynamic_vit", pruning_loc=[0, 1], token_ratio=[0.7, 0.7 ** 2])
        self.assertEqual(self.config_of(dynamic_vit_weights(), "--keep-ratio", "0.7"), expected)
        self.assertEqual(int(100 * expected["token_ratio"][1]), 48)       # 0.49 written out would keep 49 of 100

    def test_dynamic_vit_without_its_ratio_is_refused(self):
        write_flat(self.source, dynamic_vit_weights())
        self.refuses("--keep-ratio", options=("--config", self.config))

    def test_dynamic_vit_pruning_blocks_must_ascend_within_the_depth(self):
        write_flat(self.source, dynamic_vit_weights())
        for blocks, word in (("1,0", "ascend"), ("0,2", "ascend"), ("1", "2 stages")):
            self.refuses(word, options=("--config", self.config, "--keep-ratio", "0.7", "--pruning-loc", blocks))

    def test_tiny_vit_sizes_follow_from_the_shapes(self):
        self.assertEqual(self.config_of(tiny_vit_weights(True)), TINY_CONFIG)

    def test_tiny_vit_image_size_can_be_given(self):
        self.assertEqual(self.config_of(tiny_vit_weights(True), "--img-size", "192"), {**TINY_CONFIG, "img_size": 192})


class Refusals(Case):
    def test_unknown_tensors_are_all_listed_in_one_line(self):
        write_flat(self.source, {**vit_weights(), "blocks.0.ls1.gamma": np.ones(D, "<f4"), "fc_norm.bias": np.ones(D, "<f4")})
        self.refuses("2 tensors without a place", "blocks.0.ls1.gamma", "fc_norm.bias")

    def test_control_characters_in_names_are_escaped(self):
        write_flat(self.source, {**vit_weights(), "x\n\x1b[2J": np.ones(D, "<f4")})
        self.refuses(r"x\n\x1b[2J")

    def test_missing_tensor_is_named(self):
        source = vit_weights()
        del source["blocks.1.mlp.fc2.bias"]
        write_flat(self.source, source)
        self.refuses("lacks blocks.1.mlp.fc2.bias")

    def test_missing_block_is_named(self):
        write_flat(self.source, {n: v for n, v in vit_weights().items() if not n.startswith("blocks.0.norm")
                                 and not n.startswith("blocks.0.attn")})
        self.refuses("lacks blocks.0.norm1.weight")

    def test_missing_classifier_is_named(self):
        write_flat(self.source, {n: v for n, v in vit_weights().items() if not n.startswith("head")})
        self.refuses("lacks head.weight")

    def test_misshaped_tensor_is_named_with_both_shapes(self):
        source = vit_weights()
        source["blocks.1.attn.qkv.bias"] = np.ones(3 * D + 1, "<f4")
        write_flat(self.source, source)
        self.refuses("blocks.1.attn.qkv.bias", "(385,)", "(384,)")

    def test_integer_weights_are_refused(self):
        source = vit_weights()
        source["norm.bias"] = np.ones(D, "<i8")
        write_flat(self.source, source)
        self.refuses("norm.bias", "int64")

    def test_not_a_number_is_refused(self):
        source = vit_weights()
        source["norm.bias"][3] = np.nan
        write_flat(self.source, source)
        self.refuses("norm.bias", "not finite")

    def test_double_beyond_float_is_refused(self):
        source = vit_weights()
        source["norm.bias"] = np.full(D, 1e300)
        write_flat(self.source, source)
        self.refuses("norm.bias", "not finite")

    def test_grid_that_is_not_square_is_refused(self):
        source = vit_weights()
        source["pos_embed"] = np.ones((1, 13, D), "<f4")
        write_flat(self.source, source)
        self.refuses("pos_embed", "12 is not a square")

    def test_tensor_in_two_namings_is_refused(self):
        source = hugging_face(vit_weights(), "vit.", False)
        source["embeddings.cls_token"] = source["vit.embeddings.cls_token"]
        write_flat(self.source, source)
        self.refuses("vit.embeddings.cls_token and embeddings.cls_token are the same tensor")

    def test_model_asked_for_must_be_the_model_found(self):
        write_flat(self.source, vit_weights())
        self.refuses("not a DynamicViT", options=("--model", "dynamic_vit"))
        self.refuses("lacks patch_embed.conv1", options=("--model", "tiny_vit"))
        write_flat(self.source, dynamic_vit_weights())
        self.refuses("20 tensors without a place", "score_predictor.0", options=("--model", "vit"))

    def test_another_network_is_refused(self):
        write_flat(self.source, {"conv1.weight": np.ones((4, 3, 7, 7), "<f4")})
        self.refuses("neither a ViT", "conv1.weight")

    def test_damaged_safetensors_are_refused(self):
        write_flat(self.source, vit_weights())
        with open(self.source, "rb") as f:
            good = f.read()
        (n,) = struct.unpack("<Q", good[:8])
        header = good[8:8 + n]

        def with_header(text):
            return struct.pack("<Q", len(text)) + text + good[8 + n:]
        for content, word in ((good[:-1], "do not hold"), (good + b"\0", "holes"), (good[:50], "does not fit"),
                              (struct.pack("<Q", 2 ** 63) + good[8:], "does not fit"),
                              (with_header(header[:-1]), "not JSON"),
                              (with_header(header.replace(b'"F32"', b'"F99"', 1)), "F99"),
                              (with_header(header.replace(b'"pos_embed"', b'"cls_token"', 1)), "twice"),
                              (with_header(header.replace(b'[0, 512]', b'[4, 516]', 1)), "holes"),
                              (with_header(header.replace(b'[1, 1, 128]', b'[1, -1, 128]', 1)), "bad entry"),
                              (b"", "neither a safetensors"), (b"hello, world", "neither a safetensors")):
            with self.subTest(word=word, n_bytes=len(content)):
                with open(self.source, "wb") as f:
                    f.write(content)
                self.refuses(word)

    def test_missing_input_is_bad_usage(self):
        self.refuses("No such file")

    def test_unknown_option_is_bad_usage(self):
        write_flat(self.source, vit_weights())
        self.refuses("unrecognized", options=("--no-such-option",))

    def test_output_onto_the_input_is_refused(self):
        write_flat(self.source, vit_weights())
        self.output = self.source
        self.refuses("is the input")
        self.assertEqual(set(read_flat(self.source)), set(vit_weights()))

    def test_failed_write_keeps_the_old_file_and_leaves_no_other(self):
        write_flat(self.source, vit_weights())
        with open(self.output, "wb") as f:
            f.write(b"old")
        with mock.patch.object(checkpoint_files.os, "fsync", side_effect=OSError(28, "No space left on device")):
            status, _, err = self.run_converter("--config", self.config)
        self.assertEqual(status, 5)
        self.assertIn("No space left", err)
        self.assertEqual(sorted(os.listdir(self.folder)), ["in", "out.safetensors"])
        with open(self.output, "rb") as f:
            self.assertEqual(f.read(), b"old")

    def test_the_comparison_of_bytes_notices_one_changed_bit(self):
        source = vit_weights()
        source["norm.bias"].view("<u4")[5] ^= 1
        write_flat(self.source, source)
        with self.assertRaises(AssertionError):
            self.converts_to(vit_weights())


class TensorsOfPyTorchFiles(unittest.TestCase):
    def test_strides_and_offset_are_followed(self):
        storage = np.arange(10, dtype="<f4")
        np.testing.assert_array_equal(checkpoint_files.rebuild_tensor(storage, 2, (2, 3), (1, 2)), [[2, 4, 6], [3, 5, 7]])

    def test_view_beyond_its_storage_is_refused(self):
        storage = np.arange(6, dtype="<f4")
        self.assertEqual(checkpoint_files.rebuild_tensor(storage, 0, (2, 3), (3, 1)).shape, (2, 3))
        for offset, size, stride in ((1, (2, 3), (3, 1)), (-1, (2,), (1,)), (0, (2, 3), (4, 1)), (0, (2,), (-1,)),
                                     (0, (2 ** 40,), (0,)), (0, (2,), (1, 1)), (0, (2.0,), (1,))):
            with self.subTest(offset=offset, size=size, stride=stride), self.assertRaises(ValueError):
                checkpoint_files.rebuild_tensor(storage, offset, size, stride)


@needs_torch
class PyTorchInput(Case):
    def save(self, content, **options):
        torch.save(content, self.source, **options)

    @staticmethod
    def tensors(weights):
        return {n: torch.from_numpy(v.copy()) for n, v in weights.items()}

    def test_flat_and_wrapped_files_give_the_same(self):
        flat = self.tensors(vit_weights(True))
        for content in (flat, {"model": flat}, {"state_dict": flat, "epoch": 3}, {"model": {"state_dict": flat}},
                        {"model": {"module." + n: v for n, v in flat.items()}, "optimizer": {"state": {}}, "lr": 0.1}):
            with self.subTest(keys=list(content)[:2]):
                self.save(content)
                self.converts_to(vit_weights(True))

    def test_old_file_format_is_read(self):
        self.save({"model": self.tensors(vit_weights())}, _use_new_zipfile_serialization=False)
        self.converts_to(vit_weights())

    def test_parameters_of_a_module_are_read(self):
        self.save({n: torch.nn.Parameter(v) for n, v in self.tensors(vit_weights()).items()})
        self.converts_to(vit_weights())

    def test_averaged_weights_are_taken_by_switch_only(self):
        averaged = {n: -v for n, v in vit_weights().items()}
        for plain_key, ema_key in (("model", "model_ema"), ("state_dict", "state_dict_ema")):
            self.save({plain_key: self.tensors(vit_weights()), ema_key: self.tensors(averaged)})
            self.converts_to(vit_weights())
            self.converts_to(averaged, "--ema")

    def test_averaged_weights_asked_for_but_absent_are_an_error(self):
        self.save({"model": self.tensors(vit_weights())})
        self.refuses("no averaged weights", options=("--ema",))

    def test_averaged_weights_alone_are_pointed_out(self):
        self.save({"model_ema": self.tensors(vit_weights())})
        self.refuses("--ema takes them")

    def test_half_and_bfloat_become_float(self):
        exact = {n: np.round(v * 8) / 8 for n, v in vit_weights().items()}
        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            self.save({n: v.to(dtype) for n, v in self.tensors(exact).items()})
            self.converts_to(exact)

    def test_views_are_written_in_their_own_order(self):
        source = self.tensors(vit_weights())
        source["head.weight"] = source["head.weight"].t().contiguous().t()
        both = torch.cat([source["norm.bias"], source["norm.weight"]])          # two views of one storage
        source["norm.bias"], source["norm.weight"] = both[:D], both[D:]
        for zipped in (True, False):
            self.save(source, _use_new_zipfile_serialization=zipped)
            self.converts_to(vit_weights())

    def test_official_tiny_vit_with_counters(self):
        source = self.tensors(tiny_vit_weights(True))
        source["patch_embed.seq.0.bn.num_batches_tracked"] = torch.tensor(7)
        source["layers.1.blocks.0.attn.attention_bias_idxs"] = torch.zeros(4, 4, dtype=torch.int64)
        self.save({"model": source})
        self.converts_to(tiny_vit_weights(False))

    def test_dynamic_vit_wrapped_under_model(self):
        self.save({"model": self.tensors(dynamic_vit_weights())})
        self.converts_to(dynamic_vit_weights())

    def test_code_in_the_file_is_not_run_unless_allowed(self):
        self.save({"model": self.tensors(vit_weights()), "args": Harmless()})
        Harmless.n_made = 0
        self.converts_to(vit_weights())
        self.assertEqual(Harmless.n_made, 0)
        self.converts_to(vit_weights(), "--unsafe")
        self.assertEqual(Harmless.n_made, 1)

    def test_settings_of_any_class_beside_the_weights_do_no_harm(self):
        self.save({"model": self.tensors(vit_weights()), "lr": 1e-3, "best": np.float64(0.5),
                   "args": argparse.Namespace(lr=1e-3), "config": SettingsOfOthers(a=[1.0], b={"c": 2})})
        self.converts_to(vit_weights())

    def test_object_in_place_of_a_tensor_is_named(self):
        self.save({"model": {**self.tensors(vit_weights()), "head.weight": argparse.Namespace()}})
        self.refuses("head.weight is not a tensor but Namespace")

    def test_sparse_and_quantised_tensors_are_refused(self):
        source = self.tensors(vit_weights())
        for other in (source["head.weight"].to_sparse(), torch.quantize_per_tensor(source["head.weight"], 0.1, 0, torch.qint8)):
            self.save({**source, "head.weight": other})
            self.refuses("head.weight is ")

    def test_torchscript_program_is_refused(self):
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), self.source)
        self.refuses("TorchScript")

    def test_truncated_file_is_refused(self):
        for zipped in (True, False):
            self.save(self.tensors(vit_weights()), _use_new_zipfile_serialization=zipped)
            with open(self.source, "rb+") as f:
                f.truncate(os.path.getsize(self.source) // 2)
            self.refuses("malformed PyTorch file")

    def test_file_without_weights_names_its_keys(self):
        self.save({"epoch": 3, "best": 0.5})
        self.refuses("no weights under model", "epoch, best")

    def test_value_that_is_no_tensor_is_named(self):
        self.save({**self.tensors(vit_weights()), "epoch": 3})
        self.refuses("epoch is not a tensor but int")


class Harmless:
    """An object whose unpickling is seen, as a stand-in for code hidden in a file."""
    n_made = 0

    def __reduce__(self):
        return (count_one, ())


def count_one():
    Harmless.n_made += 1
    return Harmless()


class SettingsOfOthers(dict):
    """A dictionary of another class, as configuration libraries store them."""


if __name__ == "__main__":
    program = unittest.main(exit=False, argv=sys.argv)
    result = program.result
    n_failed = len(result.failures) + len(result.errors)
    n_skipped = len(result.skipped)
    print("%d passed, %d failed, %d skipped" % (result.testsRun - n_failed - n_skipped, n_failed, n_skipped))
    sys.exit(1 if n_failed else 0)
