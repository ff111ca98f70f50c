"""Vision, sound, time-series and multimodal models of transformers, shrunken like the language models."""

from typing import Any

from benchmarks.zoo import inputs
from benchmarks.zoo.entry import Entry
from benchmarks.zoo.text import BERT, LLAMA, published

VIT: dict[str, Any] = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "image_size": 64,
    "patch_size": 16,
}  # fmt: skip
CLASSIFIER = {"num_labels": inputs.CLASSES}
SWIN = {**CLASSIFIER, "image_size": 64, "patch_size": 4, "embed_dim": 32, "depths": [1, 1], "num_heads": [2, 4],
        "window_size": 4}  # fmt: skip
WAV2VEC2: dict[str, Any] = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 32,
    "conv_dim": [32] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "mask_time_length": 2,
    "ctc_zero_infinity": True,
}  # fmt: skip
CLIP_TEXT = {**BERT, "bos_token_id": 1, "eos_token_id": 511, "pad_token_id": 0}


def vision() -> list[Entry]:
    """Patch transformers, windows, pyramids and convolutions; masked autoencoding."""
    make, classify = published, inputs.image_classes
    pyramid = {**CLASSIFIER, "hidden_sizes": [16, 32, 64, 96], "depths": [1, 1, 1, 1]}
    return [
        make("vit", "vit", "ViTConfig", "ViTForImageClassification", classify, {**VIT, **CLASSIFIER}, is_short=True),
        make("vit", "beit", "BeitConfig", "BeitForImageClassification", classify,
             {**VIT, **CLASSIFIER, "use_relative_position_bias": True}),
        make("vit", "dinov2", "Dinov2Config", "Dinov2ForImageClassification", classify,
             {**VIT, **CLASSIFIER, "mlp_ratio": 2}),
        make("vit", "vit_mae", "ViTMAEConfig", "ViTMAEForPreTraining", inputs.masked_image,
             {**VIT, "decoder_hidden_size": 32, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 4,
              "decoder_intermediate_size": 64}),
        make("window", "swin", "SwinConfig", "SwinForImageClassification", classify, SWIN, is_short=True),
        make("window", "swinv2", "Swinv2Config", "Swinv2ForImageClassification", classify, SWIN),
        make("pyramid", "segformer", "SegformerConfig", "SegformerForImageClassification", classify,
             {**pyramid, "num_attention_heads": [1, 2, 4, 4]}),
        make("pyramid", "pvt_v2", "PvtV2Config", "PvtV2ForImageClassification", classify,
             {**pyramid, "image_size": 64, "num_attention_heads": [1, 2, 4, 4]}),
        make("convolution", "convnext", "ConvNextConfig", "ConvNextForImageClassification", classify, pyramid,
             is_short=True),
        make("convolution", "resnet", "ResNetConfig", "ResNetForImageClassification", classify,
             {**pyramid, "embedding_size": 16}),
        make("convolution", "mobilenet_v2", "MobileNetV2Config", "MobileNetV2ForImageClassification", classify,
             {**CLASSIFIER, "image_size": 64, "depth_multiplier": 0.5}),
    ]  # fmt: skip


def sound() -> list[Entry]:
    """Speech recognition by CTC and by an encoder-decoder; sound classification; forecasting."""
    make = published
    whisper = {"d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
               "decoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "vocab_size": 512,
               "max_source_positions": 32, "max_target_positions": 32, "pad_token_id": 0, "bos_token_id": 1,
               "eos_token_id": 2, "decoder_start_token_id": 1}  # fmt: skip
    return [
        make("speech", "wav2vec2", "Wav2Vec2Config", "Wav2Vec2ForCTC", inputs.speech_ctc, WAV2VEC2, is_short=True),
        make("speech", "hubert", "HubertConfig", "HubertForCTC", inputs.speech_ctc, WAV2VEC2),
        make("speech", "sew", "SEWConfig", "SEWForCTC", inputs.speech_ctc, {**WAV2VEC2, "conv_dim": [32] * 13}),
        make("speech", "whisper", "WhisperConfig", "WhisperForConditionalGeneration", inputs.spectrogram_to_text,
             whisper),
        make("sound", "ast", "ASTConfig", "ASTForAudioClassification", inputs.spectrogram_classes,
             {**CLASSIFIER, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
              "intermediate_size": 128, "max_length": 128, "num_mel_bins": 64}),
        make("forecast", "patchtst", "PatchTSTConfig", "PatchTSTForPrediction", inputs.series_forecast,
             {"num_input_channels": 3, "context_length": 64, "prediction_length": 16, "patch_length": 8,
              "patch_stride": 8, "d_model": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 128}),
    ]  # fmt: skip


def multimodal() -> list[Entry]:
    """Images and text: dual encoders with a contrastive loss, and language models that read images."""
    make = published
    small_clip = {"text_config": CLIP_TEXT, "vision_config": VIT, "projection_dim": 32}
    llava = {"vision_config": {**VIT, "model_type": "clip_vision_model"},
             "text_config": {**LLAMA, "model_type": "llama"}, "image_token_index": 3,
             "vision_feature_layer": -1}  # fmt: skip
    return [
        make("dual-encoder", "clip", "CLIPConfig", "CLIPModel", inputs.image_text_pairs, small_clip, is_short=True),
        make("dual-encoder", "siglip", "SiglipConfig", "SiglipModel", inputs.image_text_pairs,
             {"text_config": {**CLIP_TEXT, "projection_size": 64}, "vision_config": VIT}),
        make("multimodal", "llava", "LlavaConfig", "LlavaForConditionalGeneration", inputs.image_in_text, llava),
        make("multimodal", "vilt", "ViltConfig", "ViltForQuestionAnswering", inputs.question_about_image,
             {**BERT, "image_size": 64, "patch_size": 16, "num_labels": inputs.CLASSES, "max_image_length": -1}),
    ]  # fmt: skip
