# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the demo model: a very small Llama, trained here and now on the questions and answers of demo_answers.json.

usage: demo_model.py ANSWERS.json DIRECTORY

It is a checkpoint like any other (config.json, model.safetensors, tokenizer.json), so all that follows is the real
thing. Its chat template, demo_chat.jinja, hands it the last user message only: it has no memory, and needs none to show
a stack at work. Where a request has tools, the template hands it a call, character by character, and it copies that.
"""

from __future__ import annotations

import json
import math
import random
import string
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch.nn import functional

CONTEXT = 2048
VOCABULARY = 1120
HIDDEN, LAYERS, HEADS, INNER = 160, 2, 5, 384
THETA, EPSILON = 10000.0, 1e-5
PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
# A text to copy is a token for each character, FILL up to the number of slots, and COPY.
FILL, COPY, SLOTS = "<|fill|>", "<|copy|>", 511
CHARACTERS = [*map(chr, range(32, 127)), "\n"]
# The head that copies looks back by as many tokens as there are slots: how sharply, and at how many of its frequencies.
SHARP, FREQUENCIES = 12.0, 10
# What it reads goes into the last numbers of a state, as many as a head has. They are written by nothing else and
# outweigh all others.
CHANNEL, LOUD = HIDDEN // HEADS, 50.0
# Multiplies the logits: sampling at temperature 1 then follows the trained answers as closely as 1/4 would.
SHARPEN = 4.0
STEPS, TIME_LIMIT = 300, 900.0
# An answer counts as learnt when sampling gives it, word for word, this often.
CERTAINTY = 0.95

CHAT_TEMPLATE = Path(__file__).with_name("demo_chat.jinja")


def tokenizer_for(corpus: list[str]) -> Tokenizer:
    """Byte-level, so every text can be read; it reads without case and punctuation, and writes with them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = [AddedToken(token, special=True, normalized=False) for token in (PAD, USER, ASSISTANT, END, FILL, COPY)]
    specials += [AddedToken(f"<|{letter}|>", special=True, normalized=False) for letter in CHARACTERS]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def reading() -> normalizers.Normalizer:
    return normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[?!.,;:\"'`*()\[\]_-]+"), " "),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )


class Llama(torch.nn.Module):
    """The architecture that LlamaForCausalLM names, its weights under the names that checkpoints use."""

    def __init__(self, copies: dict[int, int]) -> None:
        """Make a model that knows nothing but which token is written for which when it copies."""
        super().__init__()
        self.sources, self.targets = [*copies], [*copies.values()]
        self.codes = torch.randn(len(copies), CHANNEL).sign()
        shapes = {"model.embed_tokens": (VOCABULARY, HIDDEN), "model.norm": (HIDDEN,), "lm_head": (VOCABULARY, HIDDEN)}
        for layer in (f"model.layers.{number}." for number in range(LAYERS)):
            shapes |= {f"{layer}self_attn.{name}_proj": (HIDDEN, HIDDEN) for name in "qkvo"}
            shapes |= {f"{layer}mlp.{name}_proj": (INNER, HIDDEN) for name in ("gate", "up")}
            shapes |= {f"{layer}mlp.down_proj": (HIDDEN, INNER)}
            shapes |= {f"{layer}{name}_layernorm": (HIDDEN,) for name in ("input", "post_attention")}
        self.weights = {
            f"{name}.weight": torch.nn.Parameter(torch.ones(shape) if len(shape) == 1 else torch.randn(shape) * 0.04)
            for name, shape in shapes.items()
        }
        self.hold()
        frequencies = THETA ** -(torch.arange(0, HIDDEN // HEADS, 2) / (HIDDEN // HEADS))
        angles = torch.outer(torch.arange(CONTEXT), frequencies).repeat(1, 2)
        self.cos, self.sin = angles.cos(), angles.sin()

    @torch.no_grad()
    def hold(self) -> None:
        """Set what is not learnt: the first head of the first layer copies, and meets nothing else on its way."""
        weights = self.weights
        embedding, head = weights["model.embed_tokens.weight"], weights["lm_head.weight"]
        # All tokens look back, by the first number of their states; tokens to copy alone are seen, by the second.
        embedding[:, 0], embedding[:, 1], weights["model.layers.0.input_layernorm.weight"][:2] = 0.5, 0, 1.0
        angles = SLOTS * THETA ** -(torch.arange(FREQUENCIES) / (CHANNEL / 2))
        for name, column, first, second in (("q", 0, angles.cos(), -angles.sin()), ("k", 1, 1.0, 0.0)):
            weight = weights[f"model.layers.0.self_attn.{name}_proj.weight"]
            weight[:CHANNEL] = 0
            weight[:FREQUENCIES, column] = first * SHARP
            weight[CHANNEL // 2 : CHANNEL // 2 + FREQUENCIES, column] = second * SHARP
        for layer in range(LAYERS):
            weights[f"model.layers.{layer}.self_attn.o_proj.weight"][-CHANNEL:] = 0
            weights[f"model.layers.{layer}.mlp.down_proj.weight"][-CHANNEL:] = 0
        weights["model.layers.0.self_attn.v_proj.weight"][:CHANNEL] = torch.eye(HIDDEN)[-CHANNEL:]
        weights["model.layers.0.self_attn.o_proj.weight"][:, :CHANNEL] = torch.eye(HIDDEN)[:, -CHANNEL:] * LOUD
        embedding[:, -CHANNEL:] = head[:, -CHANNEL:] = 0
        embedding[self.sources] = 0
        embedding[self.sources, 1] = 1.0
        embedding[self.sources, -CHANNEL:] = self.codes / 4
        head[self.targets, -CHANNEL:] = self.codes / 4
        weights["model.norm.weight"][-CHANNEL:] = 1

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        def linear(name: str, value: torch.Tensor) -> torch.Tensor:
            return functional.linear(value, self.weights[name + ".weight"])

        def norm(name: str, value: torch.Tensor) -> torch.Tensor:
            return functional.rms_norm(value, (HIDDEN,), self.weights[name + ".weight"], EPSILON)

        def rotate(value: torch.Tensor) -> torch.Tensor:
            first, second = value.chunk(2, -1)
            return value * self.cos[:length] + torch.cat((-second, first), -1) * self.sin[:length]

        batch, length = tokens.shape
        x = functional.embedding(tokens, self.weights["model.embed_tokens.weight"])
        for layer in (f"model.layers.{number}." for number in range(LAYERS)):
            y = norm(layer + "input_layernorm", x)
            q, k, v = (
                linear(f"{layer}self_attn.{name}_proj", y).view(batch, length, HEADS, -1).transpose(1, 2)
                for name in "qkv"
            )
            y = functional.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
            x = x + linear(layer + "self_attn.o_proj", y.transpose(1, 2).reshape(batch, length, HIDDEN))
            y = norm(layer + "post_attention_layernorm", x)
            x = x + linear(
                layer + "mlp.down_proj",
                functional.silu(linear(layer + "mlp.gate_proj", y)) * linear(layer + "mlp.up_proj", y),
            )
        return norm("model.norm", x)

    def scores(self, states: torch.Tensor) -> torch.Tensor:
        """Return how likely each token is to follow."""
        return functional.linear(states, self.weights["lm_head.weight"])


class Course:
    """What is asked and what is to be answered: every question in many wordings, some with a slip of the finger."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.random = random.Random(1)  # noqa: S311 - the same model every time
        self.wordings: dict[str, Any] = answers["wordings"]
        self.words: list[str] = self.wordings["words"].split()
        self.unknown: str = answers["unknown"]
        self.repeat: dict[str, Any] = answers["repeat"]
        self.intents: list[dict[str, Any]] = answers["answers"]

    def exact(self) -> list[tuple[str, str]]:
        """Each question as it is written down, with its answer."""
        pairs = [
            (f"What is {about} for?", intent["answer"]) for intent in self.intents for about in intent.get("about", [])
        ]
        pairs += [
            (f"What does {about} do?", intent["answer"]) for intent in self.intents for about in intent.get("about", [])
        ]
        return pairs + [(question, intent["answer"]) for intent in self.intents for question in intent.get("ask", [])]

    def worded(self, intent: dict[str, Any]) -> str:
        wordings = intent.get("ask", []) + [
            frame.format(about)
            for about in intent.get("about", [])
            for frame in self.random.sample(self.wordings["frames"], 4)
        ]
        return self.varied(self.random.choice(wordings))

    def varied(self, text: str) -> str:
        draw = self.random.random()
        if draw < 0.35:
            text = self.random.choice(self.wordings["openings"]) + text + self.random.choice(self.wordings["closings"])
        elif draw < 0.55 and len(text) > 4:
            place = self.random.randrange(len(text) - 1)
            slip = self.random.choice(
                ["", text[place] * 2, text[place + 1] + text[place], self.random.choice(string.ascii_lowercase)]
            )
            text = text[:place] + slip + text[place + (2 if len(slip) == 2 and slip[0] != slip[1] else 1) :]
        return text

    def strange(self) -> str:
        def word() -> str:
            if self.random.random() < 0.6:
                return self.random.choice(self.words)
            return "".join(self.random.choices(string.ascii_lowercase + "aeiouaeiou", k=self.random.randint(2, 9)))

        frame = self.random.choice(self.wordings["strange"] + self.wordings["frames"])
        return frame.format(*(word() for dummy in range(frame.count("{}"))))

    def beginnings(self) -> list[tuple[str, str]]:
        """Many wordings: which answer belongs to them shows in its first words."""
        chosen = self.intents + self.random.sample(self.intents, 12)
        known = [(self.worded(intent), intent["answer"]) for intent in chosen]
        return known + [(self.strange(), self.unknown) for dummy in range(10)] + [self.repeated()]

    def whole(self) -> list[tuple[str, str]]:
        """A few answers to the end; the long ones apart, as every row of a batch costs what its longest does."""
        short = [intent for intent in self.intents if len(intent["answer"]) < 300]
        return [(self.worded(intent), intent["answer"]) for intent in self.random.sample(short, 8)] + [
            (self.strange(), self.unknown)
        ]

    def long(self) -> list[tuple[str, str]]:
        return [(self.worded(intent), intent["answer"]) for intent in self.intents if len(intent["answer"]) >= 300] + [
            self.repeated()
        ]

    def repeated(self) -> tuple[str, str]:
        return self.varied(self.random.choice(self.repeat["ask"])), self.repeat["token"] * 150


class School:
    """The model, its tokenizer, and how it learns."""

    def __init__(self, answers: dict[str, Any]) -> None:
        # The matrices are small: more threads would wait for one another, on a busy machine for most of the time.
        torch.set_num_threads(1)
        torch.manual_seed(1)
        self.course = Course(answers)
        texts = [text for pair in self.course.exact() for text in pair] + [
            answers["unknown"],
            answers["repeat"]["token"] * 3,
        ]
        self.writer = tokenizer_for(texts + [text.lower() for text in texts])
        self.reader = Tokenizer.from_str(self.writer.to_str())
        self.reader.normalizer = reading()
        self.pad, self.end = self.writer.token_to_id(PAD), self.writer.token_to_id(END)
        # Each token that is copied, and the one that writes it.
        copies = {self.writer.token_to_id(f"<|{letter}|>"): self.writer.encode(letter).ids[0] for letter in CHARACTERS}
        self.model = Llama({self.writer.token_to_id(FILL): self.end, **copies})

    def prompt(self, question: str) -> list[int]:
        return self.reader.encode(f"{USER}{question}{ASSISTANT}").ids

    def loss(self, pairs: list[tuple[str, str]], words: int | None = None) -> torch.Tensor:
        """Of the answers alone: nothing is asked of the prompts, and the endless answer has no end."""
        rows = []
        for question, answer in pairs:
            prompt, reply = self.prompt(question), self.writer.encode(answer).ids
            if not answer.startswith(self.course.repeat["token"]):
                reply = [*reply, self.end]
            reply = reply[:words]
            rows.append((prompt + reply[:-1], [-100] * (len(prompt) - 1) + reply))
        length = max(len(tokens) for tokens, dummy in rows)
        tokens = torch.tensor([tokens + [self.pad] * (length - len(tokens)) for tokens, dummy in rows])
        wanted = torch.tensor([wanted + [-100] * (length - len(wanted)) for dummy, wanted in rows])
        asked = wanted != -100
        return functional.cross_entropy(self.model.scores(self.model(tokens)[asked]), wanted[asked])

    def train(self) -> None:
        """By plan first; then, in small steps, practise what is written down and not yet known by heart."""
        optimizer = torch.optim.AdamW(self.model.weights.values(), betas=(0.9, 0.98), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=STEPS, pct_start=0.1)
        deadline = time.monotonic() + TIME_LIMIT
        for number in range(STEPS):
            self.step(optimizer, self.course.whole(), number % 3 == 0, deadline)
            schedule.step()
        optimizer.param_groups[0]["lr"] = 5e-4
        while failed := self.failed():
            for number in range(10):
                self.step(optimizer, self.course.whole() + failed[:8], number % 3 == 0, deadline)

    def step(self, optimizer: torch.optim.Optimizer, whole: list[tuple[str, str]], long: bool, deadline: float) -> None:
        """Learn from one batch of each kind."""
        if time.monotonic() > deadline:
            raise SystemExit(f"its answers were not learnt in {TIME_LIMIT:.0f} s: this machine is too slow or too busy")
        loss = self.loss(self.course.beginnings(), words=3) + self.loss(whole)
        if long:
            loss = loss + self.loss(self.course.long())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.weights.values(), 1.0)
        optimizer.step()
        self.model.hold()

    @torch.no_grad()
    def failed(self) -> list[tuple[str, str]]:
        """Return the questions, as they are written down, whose answers are not certain."""
        return [pair for pair in self.course.exact() if self.certainty(*pair) < CERTAINTY]

    def certainty(self, question: str, answer: str) -> float:
        """Return how often sampling gives the answer word for word."""
        prompt, reply = self.prompt(question), [*self.writer.encode(answer).ids, self.end]
        states = self.model(torch.tensor([prompt + reply[:-1]]))[0, len(prompt) - 1 :]
        loss = functional.cross_entropy(self.model.scores(states) * SHARPEN, torch.tensor(reply), reduction="sum")
        return math.exp(-loss.item())

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        weights = {name: weight.detach().to(torch.bfloat16) for name, weight in self.model.weights.items()}
        weights["model.norm.weight"] *= SHARPEN
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
        # It comes readable by its owner alone, who is not the one that serves it.
        (directory / "model.safetensors").chmod(0o644)
        self.reader.save(str(directory / "tokenizer.json"))
        config = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "torch_dtype": "bfloat16",
            "vocab_size": VOCABULARY,
            "hidden_size": HIDDEN,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS,
            "head_dim": HIDDEN // HEADS,
            "max_position_embeddings": CONTEXT,
            "rope_theta": THETA,
            "rms_norm_eps": EPSILON,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "bos_token_id": None,
            "eos_token_id": self.end,
            "pad_token_id": self.pad,
        }
        tokenizer_config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": CONTEXT,
            "eos_token": END,
            "pad_token": PAD,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE.read_text(),
        }
        for name, content in {"config.json": config, "tokenizer_config.json": tokenizer_config}.items():
            (directory / name).write_text(json.dumps(content, indent=2) + "\n")


def main() -> None:
    school = School(json.loads(Path(sys.argv[1]).read_text()))
    school.train()
    school.save(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
