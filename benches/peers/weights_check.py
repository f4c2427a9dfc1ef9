"""Networks of torchvision and transformers, small and random, with their heads and the names of published files:
`make FOLDER` writes them with inputs and features, and prints a line of JSON per case; `check FOLDER` loads what the
other side wrote into new ones, and prints how far features are apart, and which names were missing or left over."""

import json
import sys
from pathlib import Path

import torch
import torchvision
import transformers as hf
from safetensors.torch import load_file, save_file

# Sizes of the small transformers; heads of 8 features.
SMALL = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=56)
TEXT = dict(vocab_size=120, hidden_dropout_prob=0.1)


def randomise(model):
    """Biases and norms start at 0 and 1: as they are, a bias that nobody loads would not be noticed."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim < 2 and name != "logit_scale":
                parameter.add_(0.2 * torch.randn_like(parameter))


def images(channels, height, width):
    return {"input": torch.randn(3, channels, height, width)}


def tokens(vocabulary, length, end=None):
    """Ids of texts of several lengths, and -1 behind them."""
    ids = torch.randint(5, vocabulary - 1, (4, length))
    for row, count in enumerate((length, length - 3, 4, 2)):
        if end is not None:
            ids[row, count - 1] = end
        ids[row, count:] = -1
    return {"input": ids.float()}


def given(inputs, padding):
    ids = inputs["input"].long()
    there = ids >= 0
    return dict(input_ids=torch.where(there, ids, padding), attention_mask=there.long())


def mean(model, inputs, padding):
    texts = given(inputs, padding)
    hidden = model(**texts).last_hidden_state
    there = texts["attention_mask"][..., None]
    return (hidden * there).sum(1) / there.sum(1)


class Torchvision:
    """A model of torchvision, whose state dict is a .pth; `rename` gives the names of older files."""

    def __init__(self, make, head, inputs, options=None, rename=lambda name: name):
        self.make, self.head, self.inputs, self.options = make, head, inputs, options or {}
        self.rename = rename

    def write(self, folder):
        model, inputs = self.make(), self.inputs()
        randomise(model)
        model.train()
        for _ in range(2):
            # Running statistics, and the counters of batches.
            model(torch.randn_like(inputs["input"]))
        model.eval()
        state = {self.rename(name): value for name, value in model.state_dict().items()}
        torch.save(state, folder / "model.pth")
        return inputs, self.features(model, inputs)

    def read(self, folder, inputs):
        model = self.make().eval()
        state = load_file(folder / "back" / "model.safetensors")
        names = model.load_state_dict(state, strict=False)
        no_part = lambda name: name.startswith(self.head) or name.endswith("num_batches_tracked")
        missing = [name for name in names.missing_keys if not no_part(name)]
        return self.features(model, inputs), missing, names.unexpected_keys

    def features(self, model, inputs):
        head = self.head.split(".")[0]
        setattr(model, head, torch.nn.Identity())
        return model(inputs["input"])


class Transformers:
    """A model with the heads of a task, as it is saved; what is read back is the encoder alone."""

    def __init__(self, config, whole, encoder, features, inputs, options=None, change=None, bin=False):
        self.config, self.whole, self.encoder, self.features = config, whole, encoder, features
        self.inputs, self.options, self.change, self.bin = inputs, options or {}, change, bin

    def write(self, folder):
        model, inputs = self.whole(self.config).eval(), self.inputs()
        randomise(model)
        model.save_pretrained(folder)
        path = folder / "model.safetensors"
        if self.bin:
            state = load_file(path)
            torch.save(self.change(state) if self.change else state, folder / "pytorch_model.bin")
            path.unlink()
        # What the features are computed with is read from the model itself, not from the files.
        plain = self.encoder(folder, model)
        return inputs, self.features(plain, inputs)

    def read(self, folder, inputs):
        back = folder / "back"
        self.config.save_pretrained(back)
        model, names = self.encoder(back, None)
        missing, unexpected = list(names["missing_keys"]), list(names["unexpected_keys"])
        unexpected += [str(names[key]) for key in ("mismatched_keys", "error_msgs") if names.get(key)]
        return self.features(model.eval(), inputs), missing, unexpected


def part(kind, name=None, **more):
    """The encoder: that of the given model, or read from a folder."""

    def encoder(folder, model):
        if model is None:
            return kind.from_pretrained(folder, output_loading_info=True, **more)
        return getattr(model, name) if name else model

    return encoder


def old_names(state):
    """The names of files of 2018: gamma and beta, and tensors that nothing reads."""
    old = lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    state = {old(name): value for name, value in state.items()}
    state["bert.embeddings.position_ids"] = torch.arange(24)[None]
    state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"]
    return state


def with_position_ids(state):
    for name, count in (("text_model", 16), ("vision_model", 17)):
        state[f"{name}.embeddings.position_ids"] = torch.arange(count)[None]
    return state


def clip_config():
    tower = dict(SMALL, projection_dim=24)
    text = dict(tower, vocab_size=120, max_position_embeddings=16, eos_token_id=119, bos_token_id=118, pad_token_id=0)
    vision = dict(tower, image_size=32, patch_size=8)
    return hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)


def clip_text(model, inputs):
    texts = given(inputs, 0)
    if isinstance(model, hf.CLIPModel):
        return model.text_projection(model.text_model(**texts).pooler_output)
    return model(**texts).text_embeds


def clip_image(model, inputs):
    pixels = inputs["input"]
    if isinstance(model, hf.CLIPModel):
        return model.visual_projection(model.vision_model(pixels).pooler_output)
    return model(pixels).image_embeds


def cases():
    resnet = lambda name: lambda: getattr(torchvision.models, name)(weights=None, num_classes=7)
    vit = dict(image_size=32, patch_size=8, num_layers=3, num_heads=4, hidden_dim=32, mlp_dim=56)
    vit_options = {"width": 32, "layers": 3, "heads": 4, "hidden": 56, "patch": 8, "image-size": 32}
    tv_vit = lambda: torchvision.models.VisionTransformer(**vit, num_classes=7)
    older = lambda name: name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2.")
    picture = lambda: images(3, 32, 32)
    hf_vit = hf.ViTConfig(**SMALL, image_size=32, patch_size=8, num_labels=5)
    bert = hf.BertConfig(**SMALL, **TEXT, max_position_embeddings=24)
    roberta = hf.RobertaConfig(**SMALL, **TEXT, max_position_embeddings=26, type_vocab_size=1, layer_norm_eps=1e-5)
    distilbert = hf.DistilBertConfig(
        dim=32, n_layers=3, n_heads=4, hidden_dim=56, vocab_size=120, max_position_embeddings=24
    )
    text = lambda: tokens(120, 11)
    pooled = lambda padding: lambda model, x: model(**given(x, padding)).pooler_output
    averaged = lambda padding: lambda model, x: mean(model, x, padding)
    cls = lambda model, x: model(x["input"]).last_hidden_state[:, 0]
    pooler = {"pooling": "pooler"}
    clip = clip_config()
    return {
        # Their widths are fixed, so these are as large as the published ones.
        "resnet18": ("resnet18", Torchvision(resnet("resnet18"), "fc.", lambda: images(3, 96, 80))),
        "resnet34": ("resnet34", Torchvision(resnet("resnet34"), "fc.", lambda: images(3, 72, 88))),
        "resnet50": ("resnet50", Torchvision(resnet("resnet50"), "fc.", lambda: images(3, 96, 96))),
        "vit-torchvision": ("vit-torchvision", Torchvision(tv_vit, "heads.", picture, vit_options)),
        "vit-torchvision-old": (
            "vit-torchvision",
            Torchvision(tv_vit, "heads.", picture, vit_options, older),
        ),
        "vit": (
            "vit",
            Transformers(hf_vit, hf.ViTModel, part(hf.ViTModel), lambda m, x: m(x["input"]).pooler_output,
                         picture, pooler, bin=True),
        ),
        "vit-classifier": (
            "vit",
            Transformers(hf_vit, hf.ViTForImageClassification, part(hf.ViTModel, "vit", add_pooling_layer=False),
                         cls, picture),
        ),
        "clip-text": (
            "clip-text",
            Transformers(clip, hf.CLIPModel, part(hf.CLIPTextModelWithProjection), clip_text, lambda: tokens(120, 11, 119)),
        ),
        "clip-image": (
            "clip-image",
            Transformers(clip, hf.CLIPModel, part(hf.CLIPVisionModelWithProjection), clip_image, picture,
                         change=with_position_ids, bin=True),
        ),
        "bert": (
            "bert",
            Transformers(bert, hf.BertForPreTraining, part(hf.BertModel, "bert"), pooled(0), text, pooler,
                         old_names, bin=True),
        ),
        "roberta": (
            "roberta",
            Transformers(roberta, hf.RobertaForMaskedLM, part(hf.RobertaModel, "roberta", add_pooling_layer=False),
                         averaged(1), text),
        ),
        "roberta-pooler": (
            "roberta",
            Transformers(roberta, hf.RobertaModel, part(hf.RobertaModel), pooled(1), text, pooler, bin=True),
        ),
        "distilbert": (
            "distilbert",
            Transformers(distilbert, hf.DistilBertForMaskedLM, part(hf.DistilBertModel, "distilbert"),
                         averaged(0), text, bin=True),
        ),
        "distilbert-full": (
            "distilbert",
            Transformers(hf.DistilBertConfig(), hf.DistilBertModel, part(hf.DistilBertModel), averaged(0),
                         lambda: tokens(30_522, 20)),
        ),
    }


@torch.no_grad()
def make(folder):
    for seed, (name, (encoder, case)) in enumerate(cases().items()):
        torch.manual_seed(seed)
        path = folder / name
        (path / "upstream").mkdir(parents=True)
        inputs, features = case.write(path / "upstream")
        save_file({**inputs, "features": features.contiguous()}, path / "recorded.safetensors")
        print(json.dumps({"name": name, "encoder": encoder, "options": case.options}), flush=True)


@torch.no_grad()
def check(folder):
    for seed, (name, (_, case)) in enumerate(cases().items()):
        if not (folder / name / "back" / "features.safetensors").exists():
            continue
        # Not the values of before: what is not loaded shows.
        torch.manual_seed(1000 + seed)
        path = folder / name
        recorded = load_file(path / "recorded.safetensors")
        wanted = load_file(path / "back" / "features.safetensors")["features"]
        features, missing, unexpected = case.read(path, recorded)
        gap = ((features - wanted).abs().max() / wanted.abs().max().clamp(min=1)).item()
        line = {"name": name, "difference": gap, "missing": sorted(missing), "unexpected": sorted(unexpected)}
        print(json.dumps(line), flush=True)


torch.set_num_threads(1)
hf.logging.set_verbosity_error()
hf.logging.disable_progress_bar()
{"make": make, "check": check}[sys.argv[1]](Path(sys.argv[2]))
