# SPDX-License-Identifier: Apache-2.0
"""Power cuts: what a machine wrote is recorded block by block, every state a cut could have left is built again and judged.

Nothing here uses the project's C code: FAT, boot loaders, slot header and hash tree are read by readers of their own.
"""
