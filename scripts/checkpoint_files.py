"""Files of tensors, read and written with numpy alone: safetensors, and what torch.save writes.

Nothing of a PyTorch file is ever run: its pickle may call on a handful of names, all of which lead to functions here,
and every other class becomes an inert object. (torch's own weights_only of version 1.13 would not do: it refuses any file
that holds a Python float, such as a learning rate, and there torch.load ignores the pickle_module it is given.)
"""
import collections
import inspect
import json
import math
import os
import pickle
import zipfile

import numpy as np

EXIT_BAD_INPUT, EXIT_MACHINE, EXIT_IO = 1, 2, 5


class ConversionError(Exception):
    """What the user must know, and the exit status that goes with it."""

    def __init__(self, message, status=EXIT_BAD_INPUT):
        super().__init__(message)
        self.status = status


def listed(names):
    """Names on one line; control characters escaped, since they come from the file."""
    return ", ".join(str(n).encode("unicode_escape").decode("ascii") for n in names)


def bfloat16_to_float32(bits):
    return (bits.astype("<u4") << 16).view("<f4")


# ---- safetensors: u64 little-endian header length, JSON header, raw little-endian data --------------------------

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
          "I8": "<i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "|b1"}
MAX_HEADER_BYTES = 100 * 1000 * 1000      # the format's own limit


def unique_keys(pairs):
    """json object hook: a key given twice is an error instead of a silent last one."""
    seen = dict(pairs)
    if len(seen) != len(pairs):
        twice = [k for k, n in collections.Counter(k for k, _ in pairs).items() if n > 1]
        raise ConversionError("safetensors header gives '%s' twice" % listed(twice))
    return seen


def read_safetensors(path):
    """{name: array}, in file order; bfloat16 arrives as float32. Data stays mapped, not copied."""
    size = os.path.getsize(path)
    with open(path, "rb") as f:
        start = f.read(8)
        n_header = int.from_bytes(start, "little")
        if len(start) < 8 or n_header > min(MAX_HEADER_BYTES, size - 8):
            raise ConversionError("safetensors header of %d bytes does not fit a file of %d" % (n_header, size))
        try:
            header = json.loads(f.read(n_header).decode("utf-8"), object_pairs_hook=unique_keys)
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            raise ConversionError("safetensors header is not JSON: %s" % error) from None
    if not isinstance(header, dict):
        raise ConversionError("safetensors header is not a JSON object")
    header.pop("__metadata__", None)
    data_bytes = size - 8 - n_header
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + n_header) if data_bytes > 0 else np.zeros(0, np.uint8)
    tensors, spans = {}, []
    for name, entry in header.items():
        try:
            code, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
            sane = all(type(v) is int and v >= 0 for v in (*shape, begin, end))
        except (TypeError, KeyError, ValueError):
            sane = False
        if not sane:
            raise ConversionError("%s: bad entry in the safetensors header" % listed([name]))
        if code not in DTYPES:
            raise ConversionError("%s: type %s is not supported" % (listed([name]), listed([code])))
        dtype = np.dtype(DTYPES[code])
        if end > data_bytes or end - begin != math.prod(shape) * dtype.itemsize:
            raise ConversionError("%s: bytes %d..%d do not hold %s of shape %s in %d bytes of data"
                                  % (listed([name]), begin, end, code, shape, data_bytes))
        if end > begin:
            spans.append((begin, end))
        try:
            array = data[begin:end].view(dtype).reshape(shape)
        except (ValueError, OverflowError):       # an empty tensor with dimensions beyond numpy's
            raise ConversionError("%s: shape %s is too large" % (listed([name]), shape)) from None
        if code == "BF16":
            array = bfloat16_to_float32(array)
        tensors[name] = array
    spans.sort()
    if any(a[1] != b[0] for a, b in zip([(0, 0)] + spans, spans + [(data_bytes, data_bytes)])):
        raise ConversionError("safetensors data has holes or tensors that overlap")
    return tensors


def safetensors_writer(tensors, metadata):
    """A function that writes {name: float32 or int array} to an open binary file, in the order given."""
    codes = {np.dtype(v): k for k, v in DTYPES.items() if k != "BF16" and k != "U16"}
    header, offset = {"__metadata__": metadata}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": codes[array.dtype], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)       # data starts at a multiple of 8

    def write(f):
        f.write(len(text).to_bytes(8, "little"))
        f.write(text)
        for array in tensors.values():
            f.write(np.ascontiguousarray(array).tobytes())
    return write


# ---- PyTorch: a pickle that refers to storages, raw arrays beside it ---------------------------------------------
#
# Since 1.6 a zip: ROOT/data.pkl, ROOT/data/KEY. Before: magic, protocol and system as pickles, the pickle, a pickled list
# of keys, then for each key an int64 count and the data.

STORAGES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "BFloat16Storage": "bfloat16", "DoubleStorage": "<f8",
            "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1",
            "BoolStorage": "|b1"}
OLD_MAGIC, OLD_PROTOCOL = 0x1950a86a20f9469cfc6c, 1001


class Inert:
    """Takes the place of any other object in a file: made from anything, filled with anything, does nothing."""
    def __new__(cls, *_, **__):
        return object.__new__(cls)

    def __init__(self, *_, **__):
        pass

    def _swallow(self, *_):
        pass

    __setstate__ = __setitem__ = append = extend = add = update = _swallow


def rebuild_tensor(storage, offset, size, stride, *_):
    """A copy of the strided view; every element is checked to lie inside the storage."""
    size, stride = tuple(size), tuple(stride)
    if (not isinstance(storage, np.ndarray) or len(size) != len(stride)
            or not all(type(v) is int and v >= 0 for v in (offset, *size, *stride))):
        raise ValueError("malformed tensor")
    if 0 in size:
        return np.zeros(size, storage.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if last >= storage.size or math.prod(size) > storage.size:
        raise ValueError("a tensor reaches beyond its storage")
    steps = [step * storage.itemsize for step in stride]
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)).reshape(size)


CALLABLE = {("collections", "OrderedDict"): collections.OrderedDict,
            ("torch", "Size"): tuple,
            ("torch._utils", "_rebuild_tensor"): rebuild_tensor,
            ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data}


class StorageType:
    """Stands for torch.FloatStorage and the like."""

    def __init__(self, name):
        self.name, self.code = name, STORAGES[name]

    def array(self, data):
        return bfloat16_to_float32(np.frombuffer(data, "<u2")) if self.code == "bfloat16" else np.frombuffer(data, self.code)

    def itemsize(self):
        return 2 if self.code == "bfloat16" else np.dtype(self.code).itemsize


class TensorUnpickler(pickle.Unpickler):
    """fetch(StorageType, key, count) gives the array of a storage."""

    def __init__(self, file, fetch):
        super().__init__(file, encoding="utf-8")
        self.fetch = fetch

    def find_class(self, module, name):
        if module in ("torch", "torch.storage") and name in STORAGES:
            return StorageType(name)
        return CALLABLE.get((module, name)) or type(name, (Inert,), {})

    def persistent_load(self, pid):
        if pid[0] != "storage" or not isinstance(pid[1], StorageType):
            return Inert()
        array = self.fetch(pid[1], pid[2], pid[4])
        if len(pid) > 5 and pid[5] is not None and isinstance(array, np.ndarray):      # old files: a view of a storage
            _, begin, count = pid[5]
            if begin < 0 or count < 0 or begin + count > array.size:
                raise ValueError("a view reaches beyond its storage")
            array = array[begin:begin + count]
        return array


def read_zip(path):
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        roots = [n[:-len("/data.pkl")] for n in names if n.endswith("/data.pkl") and n.count("/") == 1]
        if len(roots) != 1:
            raise ValueError("a zip without data.pkl")
        root = roots[0]
        if root + "/constants.pkl" in names:
            raise ValueError("a TorchScript program, not a checkpoint")
        if root + "/byteorder" in names and archive.read(root + "/byteorder") != b"little":
            raise ValueError("written on a big-endian machine")
        known = {}

        def fetch(storage_type, key, count):
            if key not in known:
                entry = archive.getinfo("%s/data/%s" % (root, key))
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != count * storage_type.itemsize():
                    raise ValueError("storage %s: %d bytes for %d elements" % (listed([key]), entry.file_size, count))
                known[key] = storage_type.array(archive.read(entry))
            return known[key]
        with archive.open(root + "/data.pkl") as f:
            return TensorUnpickler(f, fetch).load()


def read_old(path):
    types, known = {}, {}

    def note(storage_type, key, _):
        types[key] = storage_type
        return Inert()

    with open(path, "rb") as f:
        magic, protocol, system = [TensorUnpickler(f, note).load() for _ in range(3)]
        if magic != OLD_MAGIC or protocol != OLD_PROTOCOL or not system.get("little_endian"):
            raise ValueError("not written by torch.save on a little-endian machine")
        start = f.tell()
        CollectStorages(f, note).load()
        size = os.fstat(f.fileno()).st_size
        for key in TensorUnpickler(f, note).load():
            count = int.from_bytes(f.read(8), "little", signed=True)
            n_bytes = count * types[key].itemsize()
            if not 0 <= n_bytes <= size - f.tell():
                raise ValueError("storage %s is cut short" % listed([key]))
            known[key] = types[key].array(f.read(n_bytes))
        f.seek(start)
        return TensorUnpickler(f, lambda _, key, __: known[key]).load()


class CollectStorages(TensorUnpickler):
    """First reading of an old file, whose data follow the pickle: storages are noted, tensors not made."""

    def find_class(self, module, name):
        found = super().find_class(module, name)
        return Inert if found is rebuild_tensor else found


def read_pytorch(path):
    """Whatever torch.save put in the file: containers, numpy arrays for tensors, Inert for all else."""
    try:
        return read_zip(path) if zipfile.is_zipfile(path) else read_old(path)
    except OSError:
        raise
    except Exception as error:           # pickle and zipfile raise nearly every type on a malformed file
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConversionError("malformed PyTorch file: %s" % listed([reason])) from None


def read_pytorch_unsafe(path):
    """As torch.load reads it, running whatever code the file holds."""
    try:
        import torch
    except ImportError:
        raise ConversionError("--unsafe needs torch (Debian: python3-torch)", EXIT_MACHINE) from None
    options = {"weights_only": False} if "weights_only" in inspect.signature(torch.load).parameters else {}
    try:
        return torch.load(path, map_location="cpu", **options)
    except OSError:
        raise
    except Exception as error:           # torch raises nearly every type
        raise ConversionError("torch cannot read it: %s" % listed([" ".join(str(error).split())[:300]])) from None


# ---- writing ---------------------------------------------------------------------------------------------------

def write_files(files):
    """[(path, writer)]: all are written under temporary names and synced before the first takes its name."""
    temporary = []
    try:
        for path, write in files:
            folder, name = os.path.split(os.path.abspath(path))
            temporary.append(os.path.join(folder, ".%s.%d.tmp" % (name, os.getpid())))
            with open(temporary[-1], "xb") as f:
                write(f)
                f.flush()
                os.fsync(f.fileno())
        for (path, _), temp in zip(files, temporary):
            os.replace(temp, path)
        for folder in {os.path.dirname(os.path.abspath(path)) for path, _ in files}:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
    finally:
        for temp in temporary:
            if os.path.exists(temp):
                os.unlink(temp)
